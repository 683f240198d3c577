"""JPEG files with different sampling, coding, colour spaces and segments."""

import struct
from collections.abc import Iterator

import cv2

from lib.corpus.pictures import HEIGHT, WIDTH, colours, exif, in_mode, opencv, pillow, profile


def jpegs() -> Iterator[tuple[str, bytes | None]]:
    """Yield files with each sampling, quality, colour space, restart markers, comments, profiles and odd segments."""
    rgb = in_mode("RGB")
    for name in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            yield (
                f"JPEG/{name}, progressive {progressive}",
                pillow(rgb, "JPEG", subsampling=name, progressive=progressive),
            )
    samplings = {"4:1:1": 0x411111, "4:2:0": 0x221111, "4:2:2": 0x211111, "4:4:0": 0x121111, "4:4:4": 0x111111}
    for name, factor in samplings.items():
        for size in ((HEIGHT, WIDTH), (16, 16), (33, 31), (1, 9), (64, 80), (3, 100)):
            data = opencv(".jpg", colours(*size), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
            yield f"JPEG/sampling {name} {size[0]} x {size[1]}", data
    for quality in (1, 10, 50, 75, 95, 100):
        yield f"JPEG/quality {quality}", pillow(rgb, "JPEG", quality=quality)
        yield f"JPEG/grey, quality {quality}", pillow(in_mode("L"), "JPEG", quality=quality)
    yield "JPEG/restart markers", opencv(".jpg", colours(), cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    yield "JPEG/optimized", pillow(rgb, "JPEG", optimize=True)
    yield "JPEG/RGB kept", pillow(rgb, "JPEG", keep_rgb=True)
    yield "JPEG/comment", pillow(rgb, "JPEG", comment=b"a comment" * 500)
    yield "JPEG/ICC", pillow(rgb, "JPEG", icc_profile=profile())
    yield "JPEG/long ICC in several chunks", pillow(rgb, "JPEG", icc_profile=profile() + bytes(200000))
    yield "JPEG/CMYK, ICC", pillow(in_mode("CMYK"), "JPEG", icc_profile=profile())
    yield "JPEG/grey, ICC", pillow(in_mode("L"), "JPEG", icc_profile=profile())
    yield "JPEG/CMYK, progressive", pillow(in_mode("CMYK"), "JPEG", progressive=True)
    yield "JPEG/two pictures (MPO)", pillow(rgb, "MPO", save_all=True, append_images=[rgb.rotate(180)])
    plain = pillow(rgb, "JPEG", quality=90)
    yield "JPEG/bytes behind the end", plain + b"\0" * 100 + b"something else"
    yield "JPEG/a second JPEG behind the end", plain + plain
    yield "JPEG/fill bytes before a marker", plain[:2] + b"\xff\xff\xff" + plain[2:]
    yield "JPEG/without JFIF", jpeg_without(plain, 0xE0)
    yield "JPEG/EXIF with a thumbnail", jpeg_with_thumbnail(plain, pillow(rgb.resize((16, 12)), "JPEG"))
    yield "JPEG/EXIF, broken", plain[:2] + b"\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff" + plain[2:]
    for transform in (0, 1, 2):
        yield f"JPEG/Adobe transform {transform}", jpeg_adobe(plain, transform)
        four = pillow(in_mode("CMYK"), "JPEG")
        yield f"JPEG/CMYK, Adobe transform {transform}", jpeg_adobe(four, transform)
    yield "JPEG/CMYK, no Adobe marker", jpeg_without(pillow(in_mode("CMYK"), "JPEG"), 0xEE)
    yield "JPEG/12-bit", jpeg_of_12_bits(plain)
    yield "JPEG/EXIF behind other segments", jpeg_late_exif(plain, exif(6).tobytes())


def _segments(data: bytes) -> list[bytes]:
    """Split a JPEG into the segments before its scan, and the remaining bytes."""
    parts, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        size = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append(data[at : at + size])
        at += size
    return [*parts, data[at:]]


def _segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(data)) + data


def jpeg_without(data: bytes, marker: int) -> bytes:
    """Remove the segments of a marker from a JPEG."""
    return b"".join(part for part in _segments(data) if part[1] != marker)


def jpeg_adobe(data: bytes, transform: int) -> bytes:
    """Return a JPEG with an Adobe marker that states a colour transform."""
    plain = jpeg_without(jpeg_without(data, 0xEE), 0xE0)
    return plain[:2] + _segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform)) + plain[2:]


def jpeg_late_exif(data: bytes, exif: bytes) -> bytes:
    """Return a JPEG whose EXIF segment comes after all other segments."""
    *parts, rest = _segments(data)
    exif = exif if exif.startswith(b"Exif") else b"Exif\0\0" + exif
    return b"".join([*parts, _segment(0xFE, b"first"), _segment(0xE1, exif), rest])


def jpeg_with_thumbnail(data: bytes, thumbnail: bytes) -> bytes:
    """Return a JPEG whose first segment contains a second JPEG, the thumbnail."""
    ifd = b"II*\0\x08\0\0\0\0\0\x0e\0\0\0" + struct.pack("<H", 2)
    ifd += struct.pack("<HHII", 0x201, 4, 1, 44) + struct.pack("<HHII", 0x202, 4, 1, len(thumbnail)) + bytes(4)
    return data[:2] + _segment(0xE1, b"Exif\0\0" + ifd + thumbnail) + data[2:]


def jpeg_of_12_bits(data: bytes) -> bytes:
    """Return a JPEG whose header claims 12 bits per sample (extended sequential)."""
    parts = _segments(data)
    return b"".join(b"\xff\xc1" + part[2:4] + b"\x0c" + part[5:] if part[1] == 0xC0 else part for part in parts)
