"""Files that read_image refuses: damaged files, other kinds of file, other formats, and images that are too large."""

import os
import struct

import cv2
import pytest
from PIL import Image, ImageFile

import rankiqa
from lib.corpus import pngs
from lib.encoded_images import FORMATS, encoded, pillow_format
from rankiqa import ImageError, read_image


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_off_anywhere_is_refused(name, noise_picture, tmp_path):
    suffix, options = FORMATS[name]
    data = encoded(noise_picture, pillow_format(name), **options)
    path = tmp_path / f"a.{suffix}"
    filled_up = 0
    for size in sorted({*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 20, len(data))}):
        path.write_bytes(data[:size])
        filled_up += cv2.imread(str(path)) is not None
        with pytest.raises(ImageError, match=r"^expected [^\n]*$"):
            read_image(path)
    if name == "JPEG":
        assert filled_up > 20  # cv2.imread alone, as in the original, reads these


@pytest.mark.parametrize(
    ("suffix", "words", "options"),
    [("gif", "GIF", {}), ("avif", "AVIF", {}), ("webp", "an animated WebP", {"save_all": True})],
)
def test_what_the_original_does_not_read_is_refused_by_name(suffix, words, options, noise_picture, tmp_path):
    if f".{suffix}" not in Image.registered_extensions():
        pytest.skip(f"this Pillow does not write {words}")
    more = {"append_images": [noise_picture.rotate(180)], **options} if options else {}
    noise_picture.save(tmp_path / f"a.{suffix}", **more)
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


def test_damage_inside_a_png(noise_picture, tmp_path):
    data = bytearray(encoded(noise_picture, "PNG"))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match="corrupt or truncated"):
        read_image(tmp_path / "a.png")


def test_pillows_limits_are_neither_used_nor_changed(tmp_path, monkeypatch, noise_picture):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # the test image has 3000
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "a.png"
    noise_picture.save(path)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert read_image(path).shape == (60, 50, 3)
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(ImageError, match="truncated"):
        read_image(path)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (100, True)


def test_beyond_opencvs_limit(tmp_path):
    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    chunks = pngs.chunk(b"IHDR", header) + pngs.chunk(b"IDAT") + pngs.chunk(b"IEND")
    (tmp_path / "a.ppm").write_bytes(pngs.SIGNATURE + chunks)
    with pytest.raises(ImageError, match="expected at most 1073741824 pixels, got 40000 x 40000"):
        read_image(tmp_path / "a.ppm")


def test_image_error_is_a_value_error():
    assert issubclass(rankiqa.ImageError, ValueError)
