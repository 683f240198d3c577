"""Reading images: the original's pixels in every format, notes, strict reading, threads and colour order."""

import base64
import os
import re
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

import rankiqa
from lib.corpus import pictures, pngs
from lib.encoded_images import FORMATS, encoded, pillow_format
from rankiqa import ImageError, InputSpec, read_image, read_image_with_notes, take_crops
from rankiqa.data.photographs import read_photograph
from rankiqa.ranked_sets import contact_sheet


@pytest.mark.parametrize("name", FORMATS)
def test_pixels_are_cv2s(name, noise_picture, tmp_path):
    suffix, options = FORMATS[name]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encoded(noise_picture, pillow_format(name), **options))
    got = read_image(path)
    assert got.dtype == np.uint8 and got.shape == (60, 50, 3)
    assert np.array_equal(got, cv2.imread(str(path))[..., ::-1])
    assert not np.array_equal(got, got[..., ::-1])  # or the test could not tell BGR from RGB
    if name in ("PNG", "BMP", "TIFF", "LZW", "PPM"):
        assert np.array_equal(got, np.asarray(noise_picture))


def deep(picture):
    return cv2.imencode(".png", np.asarray(picture)[..., ::-1].astype(np.uint16) * 200)[1].tobytes()


def deep_grey(picture):
    return cv2.imencode(".png", np.asarray(picture)[..., 0].astype(np.uint16) * 200)[1].tobytes()


def with_alpha(picture, mode="RGBA"):
    changed = picture.convert(mode)
    changed.putalpha(100)
    return changed


UNUSUAL = {
    "grey JPEG": (lambda p: encoded(p.convert("L"), "JPEG"), "JPEG: grey", ""),
    "grey PNG": (lambda p: encoded(p.convert("L"), "PNG"), "PNG: grey", ""),
    "grey JPEG 2000": (lambda p: encoded(p.convert("L"), "JPEG2000"), "JPEG 2000: grey", ""),
    "black and white": (lambda p: encoded(p.convert("1"), "PNG"), "PNG: grey", ""),
    "grey with alpha": (lambda p: encoded(with_alpha(p, "LA"), "PNG"), "PNG: grey; alpha dropped", "alpha dropped"),
    "alpha PNG": (lambda p: encoded(with_alpha(p), "PNG"), "PNG: alpha dropped", "alpha dropped"),
    "alpha WebP": (lambda p: encoded(with_alpha(p), "WEBP"), "WebP: alpha dropped", "alpha dropped"),
    "palette with a clear entry": (
        lambda p: encoded(p.convert("P"), "PNG", transparency=3), "PNG: alpha dropped", "alpha dropped",
    ),
    "16-bit colour": (deep, "PNG: 16 bits per channel", "16 bits per channel: reduced to 8"),
    "16-bit grey": (deep_grey, "PNG: grey; 16 bits per channel", "16 bits per channel: reduced to 8"),
    "CMYK JPEG": (lambda p: encoded(p.convert("CMYK"), "JPEG"), "CMYK", "CMYK converted without a colour profile"),
    "CMYK TIFF": (lambda p: encoded(p.convert("CMYK"), "TIFF"), "CMYK", "CMYK converted without a colour profile"),
    "Lab TIFF": (lambda p: encoded(p.convert("LAB"), "TIFF"), "Lab", "Lab converted to RGB"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_pictures_are_read_as_the_original_does_or_refused_by_strict(name, noise_picture, tmp_path):
    encode, words, note = UNUSUAL[name]
    path = tmp_path / "a"
    path.write_bytes(encode(noise_picture))
    with pytest.raises(ImageError) as error:
        read_image(path, strict=True)
    assert str(error.value).startswith("expected 8-bit colour of which nothing is dropped (strict), got ")
    assert words in str(error.value)
    pixels, notes = read_image_with_notes(path)
    assert "; ".join(notes) == note or (note.startswith("Lab") and notes[0] == note)  # Pillow writes a Lab profile
    assert np.array_equal(pixels, cv2.imread(str(path))[..., ::-1])
    assert np.array_equal(pixels, read_image(path))


@pytest.mark.parametrize("name", FORMATS)
def test_strict_takes_plain_colour(name, noise_picture, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(encoded(noise_picture, pillow_format(name), **FORMATS[name][1]))
    assert read_image_with_notes(path, strict=True)[1] == ()


def test_a_palette_is_plain_colour(noise_picture, tmp_path):
    noise_picture.convert("P").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), cv2.imread(str(tmp_path / "a.png"))[..., ::-1])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_as_the_original(suffix, noise_picture, tmp_path):
    """OpenCV 4.5.1 rotates JPEG and TIFF but not PNG and WebP; parity test `readers` asks Caffe's container."""
    exif = Image.Exif()
    exif[0x112] = 6
    path = tmp_path / f"a.{suffix}"
    noise_picture.save(path, exif=exif)
    got, notes = read_image_with_notes(path)
    rotated = suffix in ("jpg", "tif")
    assert got.shape == ((50, 60, 3) if rotated else (60, 50, 3))
    assert notes == (() if rotated else ("EXIF orientation 6 not applied",))
    as_stored = cv2.IMREAD_COLOR if rotated else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    expected = cv2.imdecode(np.fromfile(path, np.uint8), as_stored)[..., ::-1]
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(("suffix", "note"), [("png", "first of 3 frames"), ("tif", "first of 3 pages")])
def test_the_first_of_several_frames(suffix, note, noise_picture, tmp_path):
    frames = [noise_picture.rotate(angle) for angle in (180, 90)]
    noise_picture.save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames)
    got, notes = read_image_with_notes(tmp_path / f"a.{suffix}")
    assert np.array_equal(got, np.asarray(noise_picture)) and notes == (note,)


@pytest.mark.parametrize("name", ["größe 写真 .png", "a\nb.png", b"\xff\xfe.png"])
def test_any_file_name(name, noise_picture, tmp_path):
    path = os.path.join(tmp_path, os.fsdecode(name))
    noise_picture.save(path, "PNG")
    assert np.array_equal(read_image(path), np.asarray(noise_picture))


@pytest.mark.parametrize("name", ["zTXt of 3 MB", "tEXt, bad checksum", "unknown ancillary, bad checksum", "many tEXt"])
def test_ancillary_chunks_of_a_png_refuse_nothing(name, tmp_path):
    data = dict(pngs.pngs())[f"PNG/{name}"]
    (tmp_path / "a.png").write_bytes(data)
    expected = pictures.colours()
    assert np.array_equal(read_image(tmp_path / "a.png"), expected)
    assert np.array_equal(read_photograph(data, min_side=1), expected)


def test_eight_threads(noise_picture, tmp_path, monkeypatch):
    """Concurrent reads give the pixels of single reads and change neither stderr nor Pillow's limits."""
    redirected = []
    limit = Image.MAX_IMAGE_PIXELS
    (tmp_path / "cut.jpg").write_bytes(encoded(noise_picture, "JPEG")[:-30])
    for name in FORMATS:
        (tmp_path / name).write_bytes(encoded(noise_picture, pillow_format(name), **FORMATS[name][1]))
    (tmp_path / "photograph.gif").write_bytes(encoded(noise_picture, "GIF"))
    alone = {name: read_image(tmp_path / name) for name in FORMATS}
    gif = read_photograph((tmp_path / "photograph.gif").read_bytes(), min_side=1)

    def work(seed):
        for name in np.random.RandomState(seed).permutation(list(FORMATS) * 10):
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
    """Chain every function that returns an image with every function that takes one."""
    red = Image.new("RGB", (260, 240), RED)
    sources = {}
    for suffix in ("png", "bmp", "tif", "ppm"):
        red.save(tmp_path / f"a.{suffix}")
        sources[f"read_image {suffix}"] = read_image(tmp_path / f"a.{suffix}")
        sources[f"read_photograph {suffix}"] = read_photograph((tmp_path / f"a.{suffix}").read_bytes())
    for name, image in list(sources.items()):
        for distortion in ("GB", "JPEG"):
            sources[f"distort {distortion} of {name}"] = rankiqa.distort(image, distortion, 1, np.random.RandomState(0))
    seen = []
    model = rankiqa.build("shallow")
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for name, image in sources.items():
        assert np.abs(image.astype(int) - RED).max() <= 3, name
        crops = take_crops(image, np.array([[1, 2]]), InputSpec(224)).numpy()[0]
        assert np.abs(crops - np.array(RED[::-1])[:, None, None]).max() <= 3, name  # CAFFE: BGR
        rgb_crops = take_crops(image, np.array([[1, 2]]), InputSpec(224, channel_order="RGB")).numpy()[0]
        assert np.array_equal(rgb_crops, crops[::-1]), name
        seen.clear()
        rankiqa.score(model, image, crops=1)
        assert len(seen) == 1 and np.abs(seen[0].numpy()[0].mean((1, 2)) - np.array(RED[::-1])).max() <= 3, name
    image = sources["read_image png"]
    page = "".join(contact_sheet.page(image, "red", ["live"], 0, lambda *_: None, pytest.fail))
    for thumbnail in re.findall(r"data:image/png;base64,([^\"]+)", page):
        (tmp_path / "shown.png").write_bytes(base64.b64decode(thumbnail))
        pixels = read_image(tmp_path / "shown.png").astype(int)
        assert np.abs(pixels.mean((0, 1)) - RED).max() <= 90  # clipping at 0 and 255 shifts strong noise
