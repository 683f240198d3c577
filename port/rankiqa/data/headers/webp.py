"""WebP headers. Source: RFC 9649."""

from __future__ import annotations

import struct

from rankiqa.data.headers.header import CutOff, Header, common_notes, exif_orientation, orientation_note

_ANIMATION, _EXIF, _ALPHA, _PROFILE = 0x02, 0x08, 0x10, 0x20


def is_webp(data: bytes) -> bool:
    """Return whether a file begins like a WebP."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read(data: bytes) -> Header:
    """Read the header of a WebP."""
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data):
        raise CutOff
    flags = height = width = 0
    alpha, exif, at = False, b"", 12
    while at + 8 <= end:
        name, (size,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        at += 8
        if name == b"VP8X":
            flags = data[at]
            width, height = (1 + int.from_bytes(data[at + k : at + k + 3], "little") for k in (4, 7))
            alpha = bool(flags & _ALPHA)
        elif name == b"VP8L" and not width:
            (packed,) = struct.unpack_from("<I", data, at + 1)
            width, height, alpha = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), bool(packed >> 28 & 1)
        elif name == b"VP8 " and not width:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, at + 6))
        elif name == b"EXIF":
            exif = data[at : at + size]
        at += size + size % 2
    orientation = exif_orientation(exif) if flags & _EXIF else 1
    notes = common_notes(alpha=alpha, profile=bool(flags & _PROFILE)) + orientation_note(orientation)
    refused = "an animated WebP, which the original's reader does not read" if flags & _ANIMATION else None
    return Header("WebP", height, width, 8, "colour", alpha, tuple(notes), refused, orientation)
