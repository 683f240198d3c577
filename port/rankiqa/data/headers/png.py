"""PNG headers. Source: https://www.w3.org/TR/png-3/"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from rankiqa.data.headers.header import CutOff, Header, common_notes, exif_orientation, frames_note, orientation_note

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"IEND\xae\x42\x60\x82"
_LARGEST_CHUNK = 8_000_000  # CAFFE: libpng 1.6.37 (in OpenCV 4.5.1) refuses a longer ancillary chunk
_COLOURS = {0: "grey", 2: "colour", 3: "palette", 4: "grey", 6: "colour"}


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, position of the data, length of the data) for each chunk up to IEND."""
    at = len(SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise CutOff
        (size,), name = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        if at + 12 + size > len(data):
            raise CutOff
        yield name, at + 8, size
        if name == b"IEND":
            return
        at += 12 + size


def read(data: bytes) -> Header:
    """Read the header of a PNG."""
    height = width = depth = colour_type = frames = 0
    alpha, profile, exif, refused = False, False, b"", None
    for name, at, size in _chunks(data):
        if name == b"IHDR":
            width, height, depth, colour_type = struct.unpack_from(">IIBB", data, at)
        elif name == b"tRNS":
            alpha = True
        elif name == b"iCCP":
            profile = True
        elif name == b"eXIf":
            exif = data[at : at + size]
        elif name == b"acTL" and size == 8:
            (frames,) = struct.unpack_from(">I", data, at)
        elif name == b"IEND" and data[at - 4 : at + 4] != _END:
            refused = "a wrong checksum at the end of the file"
        if name not in (b"IDAT", b"IEND") and size > _LARGEST_CHUNK:
            refused = f"a {name.decode('latin-1')} chunk of {size} bytes, more than the original's reader accepts"
    colours, orientation = _COLOURS.get(colour_type, "colour"), exif_orientation(exif)
    alpha = alpha or colour_type in (4, 6)
    notes = common_notes(bits=depth, alpha=alpha, profile=profile) + frames_note(frames) + orientation_note(orientation)
    return Header("PNG", height, width, depth, colours, alpha, tuple(notes), refused, orientation)
