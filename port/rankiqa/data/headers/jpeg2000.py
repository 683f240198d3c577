"""JPEG 2000 headers, of a bare codestream or in boxes. Source: ITU-T T.800, annexes A and I."""

from __future__ import annotations

import struct

from rankiqa.data.headers.header import CutOff, Header, common_notes

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"


def read(data: bytes) -> Header:
    """Read the header of a JPEG 2000 file."""
    if data.startswith(CODESTREAM):
        reason = "a JPEG 2000 codestream without its boxes, which the original's reader does not read"
        return _codestream(data, 0, len(data), profile=False, palette=False, refused=reason)
    at, profile, palette = 0, False, False
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        begin, end = at + 8, at + size
        if size == 1:
            (long_size,) = struct.unpack_from(">Q", data, at + 8)
            begin, end = at + 16, at + long_size
        elif size == 0:
            end = len(data)
        if end > len(data) or end < begin:
            raise CutOff
        if name == b"jp2c":
            return _codestream(data, begin, end, profile=profile, palette=palette, refused=None)
        if name == b"jp2h":
            end = begin  # continue with the boxes inside it
        elif name == b"colr":
            profile = profile or data[begin] == 2
        elif name == b"pclr":
            palette = True
        at = end
    raise CutOff


def _codestream(data: bytes, begin: int, end: int, *, profile: bool, palette: bool, refused: str | None) -> Header:
    if not data.endswith(_END, begin, end):
        raise CutOff
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, begin + 8)
    (channels,) = struct.unpack_from(">H", data, begin + 40)
    bits = 1 + max((data[begin + 42 + 3 * k] & 0x7F) for k in range(channels))
    alpha = channels in (2, 4)
    colours = "palette" if palette else "grey" if channels < 3 else "colour"
    notes = common_notes(bits=bits, alpha=alpha, profile=profile)
    return Header("JPEG 2000", y1 - y0, x1 - x0, bits, colours, alpha, tuple(notes), refused)
