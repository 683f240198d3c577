"""JPEG headers. Source: ITU-T T.81, annex B."""

from __future__ import annotations

import re
import struct

from rankiqa.data.headers.header import CutOff, Header, common_notes

SIGNATURE = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # the end of a scan: no stuffed 0xFF, restart marker or fill byte
_NO_LENGTH = (0x00, 0x01, *range(0xD0, 0xD9))
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_READ = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # sequential and progressive, Huffman and arithmetic coding
_COLOURS = {1: "grey", 4: "CMYK"}


def read(data: bytes) -> Header:
    """Read the header of a JPEG. It visits every marker, to detect a file whose end is missing."""
    at, frame, profile, several = 2, (0xC0, 8, 0, 0, 3), False, False
    while True:
        at = data.find(b"\xff", at)
        while 0 <= at < len(data) and data[at] == 0xFF:
            at += 1
        if not 0 < at < len(data):
            raise CutOff
        marker, at = data[at], at + 1
        if marker == 0xD9:
            break
        if marker in _NO_LENGTH:
            continue
        if at + 2 > len(data):
            raise CutOff
        (size,) = struct.unpack_from(">H", data, at)
        if at + size > len(data):
            raise CutOff
        if marker in _FRAMES and size >= 8:
            frame = (marker, *struct.unpack_from(">BHHB", data, at + 2))
        elif marker == 0xE2:
            profile = profile or data.startswith(b"ICC_PROFILE\0", at + 2)
            several = several or data.startswith(b"MPF\0", at + 2)
        at += size
        if marker == 0xDA:
            match = _MARKER.search(data, at)
            if match is None:
                raise CutOff
            at = match.start()
    coding, bits, height, width, components = frame
    colours = _COLOURS.get(components, "colour")
    refused = None
    if coding not in _READ or bits != 8:
        refused = f"a JPEG of {bits} bits per channel, coding {coding:#x}, which the original's reader does not read"
    notes = common_notes(colours=colours, profile=profile) + ["first of several pictures (MPF)"] * several
    return Header("JPEG", height, width, bits, colours, False, tuple(notes), refused)
