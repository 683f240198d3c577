"""Reading images and taking crops: the original's pixels, and one clear line for each picture that isn't fit."""

import io
import os
import threading

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

import rankiqa
from rankiqa import ImageError, InputSpec, crop_offsets, read_image, take_crops
from rankiqa.data.images import find_images


@pytest.fixture(scope="module")
def picture():
    """60 x 50 pixels that compress a little, RGB."""
    noise = np.random.RandomState(0).randint(0, 256, (60, 50, 3), dtype=np.uint8)
    return Image.fromarray(cv2.GaussianBlur(noise, (5, 5), 2))


def saved(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


FORMS = {
    "JPEG": ("jpg", {}), "progressive": ("jpg", {"progressive": True}), "PNG": ("png", {}), "BMP": ("bmp", {}),
    "TIFF": ("tif", {}), "LZW": ("tiff", {"compression": "tiff_lzw"}), "WEBP": ("webp", {}), "PPM": ("ppm", {}),
    "JPEG2000": ("jp2", {}),
}  # fmt: skip


def form_of(name):
    return {"progressive": "JPEG", "LZW": "TIFF"}.get(name, name)


@pytest.mark.parametrize("name", FORMS)
def test_pixels_are_cv2s(name, picture, tmp_path):
    suffix, options = FORMS[name]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(saved(picture, form_of(name), **options))
    got = read_image(path)
    assert got.dtype == np.uint8 and got.shape == (60, 50, 3)
    assert np.array_equal(got, cv2.imread(str(path))[..., ::-1])
    assert not np.array_equal(got, got[..., ::-1])  # so that BGR would be noticed
    if name in ("PNG", "BMP", "TIFF", "LZW", "PPM"):
        assert np.array_equal(got, np.asarray(picture))


@pytest.mark.parametrize("name", FORMS)
def test_a_file_cut_off_anywhere_is_refused(name, picture, tmp_path):
    suffix, options = FORMS[name]
    data = saved(picture, form_of(name), **options)
    path = tmp_path / f"a.{suffix}"
    filled_up = 0
    for size in sorted({*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 20, len(data))}):
        path.write_bytes(data[:size])
        filled_up += cv2.imread(str(path)) is not None
        with pytest.raises(ImageError, match=r"^expected [^\n]*$"):
            read_image(path)
    if name == "JPEG":
        assert filled_up > 20  # cv2.imread alone, as in the original, takes these


def deep(picture):
    return cv2.imencode(".png", np.asarray(picture)[..., ::-1].astype(np.uint16) * 200)[1].tobytes()


def deep_grey(picture):
    return cv2.imencode(".png", np.asarray(picture)[..., 0].astype(np.uint16) * 200)[1].tobytes()


def with_alpha(picture, mode="RGBA"):
    changed = picture.convert(mode)
    changed.putalpha(100)
    return changed


UNUSUAL = {
    "grey JPEG": (lambda p: saved(p.convert("L"), "JPEG"), "8-bit grey"),
    "grey PNG": (lambda p: saved(p.convert("L"), "PNG"), "8-bit grey"),
    "grey BMP": (lambda p: saved(p.convert("L"), "BMP"), "8-bit grey"),
    "grey JPEG 2000": (lambda p: saved(p.convert("L"), "JPEG2000"), "8-bit grey"),
    "black and white": (lambda p: saved(p.convert("1"), "PNG"), "8-bit grey"),
    "grey with alpha": (lambda p: saved(with_alpha(p, "LA"), "PNG"), "8-bit grey"),
    "alpha PNG": (lambda p: saved(with_alpha(p), "PNG"), "8-bit colour with alpha"),
    "alpha WebP": (lambda p: saved(with_alpha(p), "WEBP"), "8-bit colour with alpha"),
    "palette with a clear entry": (lambda p: saved(p.convert("P"), "PNG", transparency=3), "8-bit colour with alpha"),
    "16-bit colour": (deep, "16-bit colour"),
    "16-bit grey": (deep_grey, "16-bit grey"),
    "CMYK JPEG": (lambda p: saved(p.convert("CMYK"), "JPEG"), "CMYK"),
    "CMYK TIFF": (lambda p: saved(p.convert("CMYK"), "TIFF"), "CMYK"),
    "Lab TIFF": (lambda p: saved(p.convert("LAB"), "TIFF"), "LAB"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_pictures_are_refused_or_read_as_the_original_would(name, picture, tmp_path):
    make, kind = UNUSUAL[name]
    path = tmp_path / "a"
    path.write_bytes(make(picture))
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert (
        str(error.value) == f"expected 8-bit colour without alpha, got {kind}; --convert reads it as the original would"
    )
    assert np.array_equal(read_image(path, convert=True), cv2.imread(str(path))[..., ::-1])


def test_a_palette_is_plain_colour(picture, tmp_path):
    picture.convert("P").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), cv2.imread(str(tmp_path / "a.png"))[..., ::-1])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_orientation_as_cv2(suffix, picture, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    picture.save(tmp_path / f"a.{suffix}", exif=exif)
    got = read_image(tmp_path / f"a.{suffix}")
    assert got.shape == (50, 60, 3)
    assert np.array_equal(got, cv2.imread(str(tmp_path / f"a.{suffix}"))[..., ::-1])


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_of_several_frames(suffix, picture, tmp_path):
    frames = [picture.rotate(angle) for angle in (180, 90)]
    picture.save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames)
    got = read_image(tmp_path / f"a.{suffix}").astype(int)
    assert np.abs(got - np.asarray(picture)).mean() < 10
    assert np.abs(got - np.asarray(frames[0])).mean() > 15


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "got an empty file"),
        (b"not a picture at all, just text\n" * 40, "got another kind of file"),
        (b"\0" * 5000, "got another kind of file"),
        (None, "got no such file"),
    ],
)
def test_not_an_image(content, message, tmp_path):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_image(path)


def test_not_a_file(tmp_path, photograph):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "got a folder"), (tmp_path / "pipe", "got a special file"), (tmp_path / ("a" * 300), "too long"),
        (photograph / "beyond", "no such file"),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=message):
            read_image(path)


def test_damage_inside_a_png(picture, tmp_path):
    data = bytearray(saved(picture, "PNG"))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match="corrupt or truncated"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["größe 写真 .png", "a\nb.png", b"\xff\xfe.png"])
def test_any_file_name(name, picture, tmp_path):
    path = os.path.join(tmp_path, os.fsdecode(name))
    picture.save(path, "PNG")
    assert np.array_equal(read_image(path), np.asarray(picture))


def test_a_large_photograph_is_no_attack(tmp_path, monkeypatch, picture):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # as if these 3000 pixels were 30 times Pillow's limit
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "a.png"
    picture.save(path)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert read_image(path).shape == (60, 50, 3)
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(ImageError, match="truncated"):
        read_image(path)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (100, True)


def test_beyond_opencvs_limit(tmp_path):
    header = b"P6 40000 40000 255\n"
    (tmp_path / "a.ppm").write_bytes(header + b"\0" * 100)
    with pytest.raises(ImageError, match="expected at most 1073741824 pixels, got 40000 x 40000"):
        read_image(tmp_path / "a.ppm")


def test_nothing_on_stderr(picture, tmp_path, capfd):
    data = saved(picture, "JPEG")
    (tmp_path / "a.jpg").write_bytes(data[:300] + b"\x55\xaa\xff\x12" * 5 + data[300:])
    cv2.imread(str(tmp_path / "a.jpg"))
    assert "JPEG" in capfd.readouterr().err  # a warning that a C library writes by itself
    read_image(tmp_path / "a.jpg")
    assert capfd.readouterr().err == ""
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_threads(picture, tmp_path, monkeypatch):
    picture.save(tmp_path / "a.png")
    before = Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=lambda: [read_image(tmp_path / "a.png") for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS


def test_find_images(picture, tmp_path):
    for name in ("b.png", "A.JPG", "c.bmp", "notes.txt"):
        picture.save(tmp_path / name, "PNG")
    (tmp_path / "inner.png").mkdir()
    picture.save(tmp_path / "inner.png" / "d.png")
    names = [path.name for path in find_images([tmp_path, tmp_path / "notes.txt", tmp_path / "nowhere"])]
    assert names == ["A.JPG", "b.png", "c.bmp", "notes.txt", "nowhere"]
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="none: expected a folder with images"):
        find_images([tmp_path, tmp_path / "none"])


def test_crops_are_drawn_as_the_original_draws_them():
    rng = np.random.RandomState(7)
    expected = []
    for _ in range(20):
        top = rng.randint(300 - 224)
        expected.append((top, rng.randint(450 - 224)))
    got = crop_offsets(300, 450, 224, 20, np.random.RandomState(7))
    assert got.tolist() == [list(pair) for pair in expected]
    other = np.random.RandomState(7)
    lefts_first = [(other.randint(450 - 224), other.randint(300 - 224))[::-1] for _ in range(20)]
    assert got.tolist() != [list(pair) for pair in lefts_first]


def test_the_last_offset_is_never_drawn():
    offsets = crop_offsets(226, 227, 224, 500, np.random.RandomState(0))
    assert offsets.shape == (500, 2)
    assert set(offsets[:, 0]) == {0, 1}  # not 2
    assert set(offsets[:, 1]) == {0, 1, 2}  # not 3


@pytest.mark.parametrize("height, width", [(224, 300), (300, 224), (10, 10)])
def test_an_image_no_larger_than_the_crop(height, width):
    with pytest.raises(ImageError, match=rf"above 224 pixels .* got {height} x {width}"):
        crop_offsets(height, width, 224, 30, np.random.RandomState(0))


def test_take_crops():
    image = np.random.RandomState(0).randint(0, 256, (40, 50, 3), dtype=np.uint8)
    crops = take_crops(image, np.array([[3, 7], [10, 20]]), InputSpec(30))
    assert crops.shape == (2, 3, 30, 30) and str(crops.dtype) == "torch.float32"
    for i, (top, left) in enumerate([(3, 7), (10, 20)]):
        for channel in range(3):
            expected = image[top : top + 30, left : left + 30, 2 - channel]  # BGR
            assert np.array_equal(crops[i, channel].numpy(), expected)
    assert take_crops(image, np.empty((0, 2), int), InputSpec(30)).shape == (0, 3, 30, 30)


@pytest.mark.parametrize(
    "image, offsets, message",
    [
        (np.zeros((40, 50, 3), np.float32), [[0, 0]], "uint8.*got float32"),
        (np.zeros((40, 50), np.uint8), [[0, 0]], r"got uint8 \(40, 50\)"),
        (np.zeros((40, 50, 4), np.uint8), [[0, 0]], r"\(40, 50, 4\)"),
        ([[1, 2]], [[0, 0]], "got list"),
        (np.zeros((40, 50, 3), np.uint8), [[-1, 0]], "got one outside"),
        (np.zeros((40, 50, 3), np.uint8), [[0, 0], [0, 21]], "got one outside"),
    ],
)
def test_take_crops_refuses(image, offsets, message):
    with pytest.raises(ValueError, match=message):
        take_crops(image, np.array(offsets), InputSpec(30))


def test_image_error_is_a_value_error():
    assert issubclass(rankiqa.ImageError, ValueError)
