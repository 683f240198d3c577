"""Reading images and taking crops: the original's pixels, and one clear line for each picture that isn't fit."""

import base64
import io
import os
import re
import struct
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

import rankiqa
from lib.corpus import pictures, pngs
from rankiqa import ImageError, InputSpec, crop_offsets, read_image, read_image_with_notes, take_crops
from rankiqa.data.photographs import read_photograph
from rankiqa.ranked_sets import contact_sheet


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
    "grey JPEG": (lambda p: saved(p.convert("L"), "JPEG"), "JPEG: grey", ""),
    "grey PNG": (lambda p: saved(p.convert("L"), "PNG"), "PNG: grey", ""),
    "grey JPEG 2000": (lambda p: saved(p.convert("L"), "JPEG2000"), "JPEG 2000: grey", ""),
    "black and white": (lambda p: saved(p.convert("1"), "PNG"), "PNG: grey", ""),
    "grey with alpha": (lambda p: saved(with_alpha(p, "LA"), "PNG"), "PNG: grey; alpha dropped", "alpha dropped"),
    "alpha PNG": (lambda p: saved(with_alpha(p), "PNG"), "PNG: alpha dropped", "alpha dropped"),
    "alpha WebP": (lambda p: saved(with_alpha(p), "WEBP"), "WebP: alpha dropped", "alpha dropped"),
    "palette with a clear entry": (
        lambda p: saved(p.convert("P"), "PNG", transparency=3), "PNG: alpha dropped", "alpha dropped",
    ),
    "16-bit colour": (deep, "PNG: 16 bits a channel", "16 bits a channel: reduced to 8"),
    "16-bit grey": (deep_grey, "PNG: grey; 16 bits a channel", "16 bits a channel: reduced to 8"),
    "CMYK JPEG": (lambda p: saved(p.convert("CMYK"), "JPEG"), "CMYK", "CMYK converted without a colour profile"),
    "CMYK TIFF": (lambda p: saved(p.convert("CMYK"), "TIFF"), "CMYK", "CMYK converted without a colour profile"),
    "Lab TIFF": (lambda p: saved(p.convert("LAB"), "TIFF"), "Lab", "Lab converted to RGB"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_pictures_are_read_as_the_original_does_or_refused_by_strict(name, picture, tmp_path):
    make, words, note = UNUSUAL[name]
    path = tmp_path / "a"
    path.write_bytes(make(picture))
    with pytest.raises(ImageError) as error:
        read_image(path, strict=True)
    assert str(error.value).startswith("expected 8-bit colour of which nothing is dropped (strict), got ")
    assert words in str(error.value)
    pixels, notes = read_image_with_notes(path)
    assert "; ".join(notes) == note or (note.startswith("Lab") and notes[0] == note)  # Pillow adds Lab's own profile
    assert np.array_equal(pixels, cv2.imread(str(path))[..., ::-1])
    assert np.array_equal(pixels, read_image(path))


@pytest.mark.parametrize("name", FORMS)
def test_strict_takes_plain_colour(name, picture, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(saved(picture, form_of(name), **FORMS[name][1]))
    assert read_image_with_notes(path, strict=True)[1] == ()


def test_a_palette_is_plain_colour(picture, tmp_path):
    picture.convert("P").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), cv2.imread(str(tmp_path / "a.png"))[..., ::-1])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_as_the_original(suffix, picture, tmp_path):
    """OpenCV 4.5.1 turns a JPEG and a TIFF, but not a PNG or WebP (rung `readers` asks it)."""
    exif = Image.Exif()
    exif[0x112] = 6
    path = tmp_path / f"a.{suffix}"
    picture.save(path, exif=exif)
    got, notes = read_image_with_notes(path)
    turned = suffix in ("jpg", "tif")
    assert got.shape == ((50, 60, 3) if turned else (60, 50, 3))
    assert notes == (() if turned else ("EXIF orientation 6 not applied",))
    as_stored = cv2.IMREAD_COLOR if turned else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    expected = cv2.imdecode(np.fromfile(path, np.uint8), as_stored)[..., ::-1]
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(("suffix", "note"), [("png", "first of 3 frames"), ("tif", "first of 3 pages")])
def test_the_first_of_several_frames(suffix, note, picture, tmp_path):
    frames = [picture.rotate(angle) for angle in (180, 90)]
    picture.save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames)
    got, notes = read_image_with_notes(tmp_path / f"a.{suffix}")
    assert np.array_equal(got, np.asarray(picture)) and notes == (note,)


@pytest.mark.parametrize(
    ("suffix", "words", "options"),
    [("gif", "GIF", {}), ("avif", "AVIF", {}), ("webp", "an animated WebP", {"save_all": True})],
)
def test_what_the_original_does_not_read_is_refused_by_name(suffix, words, options, picture, tmp_path):
    if f".{suffix}" not in Image.registered_extensions():
        pytest.skip(f"this Pillow does not write {words}")
    more = {"append_images": [picture.rotate(180)], **options} if options else {}
    picture.save(tmp_path / f"a.{suffix}", **more)
    with pytest.raises(ImageError, match=f"got {words}, which the original's reader does not read"):
        read_image(tmp_path / f"a.{suffix}")


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


def test_pillows_limits_are_neither_used_nor_changed(tmp_path, monkeypatch, picture):
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


@pytest.mark.parametrize("name", ["zTXt of 3 MB", "tEXt, bad checksum", "unknown ancillary, bad checksum", "many tEXt"])
def test_ancillary_chunks_of_a_png_refuse_nothing(name, tmp_path):
    data = dict(pngs.pngs())[f"PNG/{name}"]
    (tmp_path / "a.png").write_bytes(data)
    expected = pictures.colours()
    assert np.array_equal(read_image(tmp_path / "a.png"), expected)
    assert np.array_equal(read_photograph(data, min_side=1), expected)


def test_beyond_opencvs_limit(tmp_path):
    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    chunks = pngs.chunk(b"IHDR", header) + pngs.chunk(b"IDAT") + pngs.chunk(b"IEND")
    (tmp_path / "a.ppm").write_bytes(pngs.SIGNATURE + chunks)
    with pytest.raises(ImageError, match="expected at most 1073741824 pixels, got 40000 x 40000"):
        read_image(tmp_path / "a.ppm")


def test_eight_threads(picture, tmp_path, monkeypatch):
    """Readers of all kinds at once: the same pixels as alone; stderr and Pillow's limits are left alone."""
    redirected = []
    limit = Image.MAX_IMAGE_PIXELS
    (tmp_path / "cut.jpg").write_bytes(saved(picture, "JPEG")[:-30])
    for name in FORMS:
        (tmp_path / name).write_bytes(saved(picture, form_of(name), **FORMS[name][1]))
    (tmp_path / "photograph.gif").write_bytes(saved(picture, "GIF"))
    alone = {name: read_image(tmp_path / name) for name in FORMS}
    gif = read_photograph((tmp_path / "photograph.gif").read_bytes(), min_side=1)

    def work(seed):
        for name in np.random.RandomState(seed).permutation(list(FORMS) * 10):
            assert np.array_equal(read_image(tmp_path / name), alone[name])
            data = (tmp_path / name).read_bytes()
            assert np.abs(read_photograph(data, min_side=1).astype(int) - alone[name]).max() <= 1
            assert np.array_equal(read_photograph((tmp_path / "photograph.gif").read_bytes(), min_side=1), gif)
            with pytest.raises(ImageError, match="truncated"):
                read_image(tmp_path / "cut.jpg")

    with monkeypatch.context() as patched, ThreadPoolExecutor(8) as threads:
        patched.setattr(os, "dup2", lambda *descriptors: redirected.append(descriptors))
        list(threads.map(work, range(8)))
    assert redirected == []
    assert limit == Image.MAX_IMAGE_PIXELS


RED = (255, 0, 0)


def test_red_stays_red_in_every_function(tmp_path, monkeypatch):
    """Every pair of the functions that take and give images: what one gives, the next takes."""
    red = Image.new("RGB", (260, 240), RED)
    sources = {}
    for suffix in ("png", "bmp", "tif", "ppm"):
        red.save(tmp_path / f"a.{suffix}")
        sources[f"read_image {suffix}"] = read_image(tmp_path / f"a.{suffix}")
        sources[f"read_photograph {suffix}"] = read_photograph((tmp_path / f"a.{suffix}").read_bytes())
    for name, image in list(sources.items()):
        for distortion in ("GB", "JPEG"):
            sources[f"distort {distortion} of {name}"] = rankiqa.distort(image, distortion, 1, np.random.RandomState(0))
    fed = []
    model = rankiqa.build("shallow")
    model.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    for name, image in sources.items():
        assert np.abs(image.astype(int) - RED).max() <= 3, name
        crops = take_crops(image, np.array([[1, 2]]), InputSpec(224)).numpy()[0]
        assert np.abs(crops - np.array(RED[::-1])[:, None, None]).max() <= 3, name  # CAFFE: BGR
        same = take_crops(image, np.array([[1, 2]]), InputSpec(224, channel_order="RGB")).numpy()[0]
        assert np.array_equal(same, crops[::-1]), name
        fed.clear()
        rankiqa.score(model, image, crops=1)
        assert len(fed) == 1 and np.abs(fed[0].numpy()[0].mean((1, 2)) - np.array(RED[::-1])).max() <= 3, name
    image = sources["read_image png"]
    sheet = "".join(contact_sheet.page(image, "red", ["live"], 0, lambda *_: None, pytest.fail))
    for shown in re.findall(r"data:image/png;base64,([^\"]+)", sheet):
        (tmp_path / "shown.png").write_bytes(base64.b64decode(shown))
        middle = read_image(tmp_path / "shown.png").astype(int)
        assert np.abs(middle.mean((0, 1)) - RED).max() <= 90  # the strongest noise is cut off at 0 and 255
    assert np.array_equal(read_photograph((tmp_path / "a.png").read_bytes()), image)


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
