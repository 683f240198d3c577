"""The reader of photographs: pixels of every usual kind of file, against their definitions."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from rankiqa import ImageError, read_image
from rankiqa.data.photographs import read_photograph

HEIGHT, WIDTH = 230, 300


@pytest.fixture(scope="module")
def picture(photograph):
    return Image.open(photograph).convert("RGB").crop((0, 0, WIDTH, HEIGHT))


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_opencv(suffix, array):
    return cv2.imencode(suffix, array[..., ::-1] if array.ndim == 3 else array)[1].tobytes()


def sixteen(array):
    low = np.random.RandomState(0).randint(0, 256, array.shape)
    return (array.astype(np.uint16) << 8 | low).astype(np.uint16)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("BMP", {}), ("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_colour(picture, kind, options):
    pixels = read_photograph(saved(picture, kind, **options))
    assert pixels.dtype == np.uint8 and pixels.flags.writeable
    assert np.array_equal(pixels, np.array(picture))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "JPEG2000"])
def test_lossy_files_are_decoded_as_the_scores_reader_does(picture, tmp_path, kind):
    path = tmp_path / f"a.{kind.lower().replace('jpeg2000', 'jp2')}"
    path.write_bytes(saved(picture, kind, quality_layers=[20]) if kind == "JPEG2000" else saved(picture, kind))
    difference = read_photograph(path.read_bytes()).astype(int) - read_image(path)
    assert not difference.any()


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "L"), ("PNG", "1"), ("JPEG", "L"), ("TIFF", "1"), ("BMP", "L")])
def test_grey_is_three_equal_channels(picture, kind, mode):
    data = saved(picture.convert(mode), kind)
    pixels = read_photograph(data)
    grey = np.array(Image.open(io.BytesIO(data)).convert("L"))
    assert pixels.shape == (HEIGHT, WIDTH, 3) and grey.std() > 10
    assert np.array_equal(pixels, np.repeat(grey[..., None], 3, 2))


def test_palette(picture):
    palette = picture.quantize(40)
    assert np.array_equal(read_photograph(saved(palette, "PNG")), np.array(palette.convert("RGB")))
    clear = saved(palette, "PNG", transparency=3)
    assert np.array_equal(read_photograph(clear), np.array(palette.convert("RGB")))


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_alpha_is_dropped(picture, kind, options):
    clear = picture.copy()
    clear.putalpha(Image.fromarray(np.tile(np.arange(WIDTH) % 256, (HEIGHT, 1)).astype(np.uint8)))
    assert np.array_equal(read_photograph(saved(clear, kind, **options)), np.array(picture))
    if kind == "PNG":
        grey = np.array(picture.convert("L"))
        assert np.array_equal(read_photograph(saved(clear.convert("LA"), kind))[..., 1], grey)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_their_high_byte(picture, suffix):
    array = np.array(picture)
    assert np.array_equal(read_photograph(by_opencv(suffix, sixteen(array))), array)
    grey = sixteen(array[..., 0])
    for kind in (suffix, ".pgm"):
        assert np.array_equal(read_photograph(by_opencv(kind, grey)), np.repeat(array[..., :1], 3, 2))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(picture, kind):
    ink = 255 - np.array(picture).astype(int)
    black = ink.min(2) // 2
    cmyk = np.dstack([np.clip(ink - black[..., None], 0, 255), black]).astype(np.uint8)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = saved(Image.fromarray(cmyk, "CMYK"), kind, **options)
    stored = np.array(Image.open(io.BytesIO(data))).astype(int)
    assert abs(stored - cmyk).max() < 8  # the file does not store inverted values
    exact = (255 - stored[..., :3]) * (255 - stored[..., 3:]) / 255
    assert abs(read_photograph(data) - exact).max() <= 1


# EXIF orientation: how to turn the stored pixels
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation_is_applied(picture, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    plain = read_photograph(saved(picture, kind, **options))
    pixels = read_photograph(saved(picture, kind, exif=exif, **options))
    assert np.array_equal(pixels, TURNED[orientation](plain))


def test_of_several_pages_the_first(picture):
    other = picture.rotate(180)
    data = saved(picture, "TIFF", save_all=True, append_images=[other])
    assert np.array_equal(read_photograph(data), np.array(picture))


def test_sizes(picture):
    data = saved(picture, "PNG")
    assert read_photograph(data, min_side=HEIGHT, max_pixels=HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ImageError, match=rf"at least {HEIGHT + 1} pixels, got {HEIGHT} x {WIDTH} \(H x W\)"):
        read_photograph(data, min_side=HEIGHT + 1)
    with pytest.raises(ImageError, match=rf"at most {HEIGHT * WIDTH - 1} pixels, got {HEIGHT} x {WIDTH}"):
        read_photograph(data, max_pixels=HEIGHT * WIDTH - 1)
    with pytest.raises(ImageError, match="at least 227 pixels"):
        read_photograph(saved(picture.crop((0, 0, 226, 230)), "PNG"))


def test_a_png_that_claims_to_be_huge_is_not_decoded():
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="at most 67108864 pixels, got 100000 x 100000"):
        read_photograph(data)


@pytest.mark.parametrize("kind", ["BMP", "PNG", "JPEG", "TIFF", "WEBP", "JPEG2000"])
def test_cut_off(picture, kind):
    data = saved(picture, kind)
    assert read_photograph(data).shape == (HEIGHT, WIDTH, 3)
    for length in (len(data) * 9 // 10, len(data) // 2):
        with pytest.raises(ImageError, match=r"expected (a whole image|an image)"):
            read_photograph(data[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (b"a photograph, believe me", "another kind of file"),
        (b"\xff\xd8\xff\xe0", "expected"),
        (b"BM" + bytes(60), "expected"),
    ],
)
def test_no_image(data, words):
    with pytest.raises(ImageError, match=words):
        read_photograph(data)


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_what_has_no_rule_is_refused(mode):
    image = Image.new(mode, (WIDTH, HEIGHT))
    with pytest.raises(ImageError, match=r"got a TIFF of (32 bits per channel|Lab)"):
        read_photograph(saved(image, "TIFF"))


def test_12_bits_are_refused_rather_than_shown_black(picture):
    data = saved(Image.fromarray(sixteen(np.array(picture)[..., 0])), "TIFF")
    sixteen_bits, twelve_bits = (struct.pack("<HHII", 258, 3, 1, bits) for bits in (16, 12))  # BitsPerSample
    assert data.count(sixteen_bits) == 1
    with pytest.raises(ImageError, match=r"8 or 16 bits per channel.* got a TIFF of 12 bits"):
        read_photograph(data.replace(sixteen_bits, twelve_bits))
