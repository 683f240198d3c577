"""Headers of simple formats: BMP, the Netpbm formats, PFM, Radiance HDR and Sun raster."""

from __future__ import annotations

import re
import struct

from rankiqa.data.headers.header import ALPHA, CutOff, Header, common_notes

SUN = b"\x59\xa6\x6a\x95"
HDR = (b"#?RGBE", b"#?RADIANCE")
_NETPBM = re.compile(rb"P([1-6])[\s#]")
_TOKEN = re.compile(rb"(?:\s|#[^\n]*\n)*([0-9]+)")
_BITFIELDS = 3


def bmp(data: bytes) -> Header:
    """Read the header of a BMP."""
    (offset, size) = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (0, _BITFIELDS) and offset + (width * bits + 31) // 32 * 4 * abs(height) > len(data):
        raise CutOff
    replace, alpha = None, False
    if bits == 32 and compression == _BITFIELDS and size > 40:
        # CAFFE: OpenCV 4.5.1 ignores the masks of 32-bit pixels; current OpenCV uses them
        replace = (30, struct.pack("<I", 0))
        alpha = size >= 56 and data[66:70] != b"\0\0\0\0"
    colours = "palette" if bits <= 8 else "colour"
    return Header("BMP", abs(height), width, 8, colours, alpha, (ALPHA,) if alpha else (), replace=replace)


def is_netpbm(data: bytes) -> bool:
    """Return whether a file begins like a PBM, PGM or PPM."""
    return _NETPBM.match(data) is not None


def netpbm(data: bytes) -> Header:
    """Read the header of a PBM, PGM or PPM."""
    number, at, values = int(data[1:2]), 2, []
    for _ in range(2 if number in (1, 4) else 3):
        match = _TOKEN.match(data, at)
        if match is None:
            raise CutOff
        values.append(int(match[1]))
        at = match.end()
    width, height, most = (*values, 1)[:3]
    if number == 4:
        size = (width + 7) // 8 * height
    elif number > 4:
        size = width * height * (3 if number == 6 else 1) * (2 if most > 255 else 1)
    else:
        size = 0
    if at + 1 + size > len(data):
        raise CutOff
    bits = 16 if most > 255 else 8
    notes = common_notes(bits=bits)
    if most not in (1, 255, 65535) or (most == 1 and number not in (1, 4)):
        notes.append(f"values up to {most}, not scaled to 255")
    return Header("PNM", height, width, bits, "colour" if number in (3, 6) else "grey", False, tuple(notes))


def pfm(data: bytes) -> Header:
    """Read the header of a PFM."""
    grey = data[1:2] == b"f"
    refused = "a grey PFM, which the original's reader does not convert to colour" if grey else None
    return Header("PFM", bits=32, colours="grey" if grey else "colour", notes=_float_note(), refused=refused)


def hdr(_: bytes) -> Header:
    """Return the header of a Radiance HDR image."""
    return Header("Radiance HDR", bits=32, notes=_float_note())


def _float_note() -> tuple[str, ...]:
    return ("floating-point values rounded to 0..255",)


def sun(data: bytes) -> Header:
    """Read the header of a Sun raster."""
    width, height, bits, size = struct.unpack_from(">4I", data, 4)
    if 32 + size > len(data):
        raise CutOff
    notes = (ALPHA,) if bits == 32 else ()
    return Header("Sun raster", height, width, 8, "colour" if bits > 8 else "grey", bits == 32, notes)
