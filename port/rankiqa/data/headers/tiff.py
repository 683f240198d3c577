"""TIFF headers. Source: the TIFF 6.0 specification."""

from __future__ import annotations

import struct

from rankiqa.data.headers.header import ALPHA, CutOff, Header, common_notes, frames_note

SIGNATURES = (b"II*\0", b"MM\0*")
BIG = (b"II+\0", b"MM\0+")
_TYPES = {1: "B", 3: "H", 4: "I"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_CHANNELS, _PROFILE, _EXTRA, _FORMAT = 277, 34675, 338, 339
_ORIENTATION, _PLANES, _TILE_SIDES = 274, 284, (322, 323)
_DATA = ((273, 279), (324, 325))  # offsets and lengths of strips and of tiles
_COLOURS = {0: "grey", 1: "grey", 3: "palette", 5: "CMYK", 8: "Lab", 9: "Lab", 10: "Lab"}
_MULTIPLIED = "alpha multiplied into the colours"
_MOST_PAGES = 10_000
_NOT_IN_OPENCV = {34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}  # compressions that its wheels do not include


def _directory(data: bytes, at: int, order: str) -> tuple[dict[int, tuple[int, ...]], int]:
    """Read the directory at an offset: return its integer tags and the offset of the next page (0: none)."""
    if at + 2 > len(data):
        raise CutOff
    (count,) = struct.unpack_from(f"{order}H", data, at)
    if at + 2 + 12 * count > len(data):
        raise CutOff
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, entry)
        if kind not in _TYPES:
            tags[tag] = ()
            continue
        form = f"{order}{number}{_TYPES[kind]}"
        size = struct.calcsize(form)
        where = entry + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, entry + 8)[0]
        if where + size > len(data):
            raise CutOff
        tags[tag] = struct.unpack_from(form, data, where) if size < 1 << 26 else ()
    last = at + 2 + 12 * count
    following = struct.unpack_from(f"{order}I", data, last)[0] if last + 4 <= len(data) else 0
    return tags, following


def read(data: bytes) -> Header:
    """Read the header of a TIFF's first page."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    tags, following = _directory(data, at, order)
    for begin, length in _DATA:
        ends = [a + n for a, n in zip(tags.get(begin, ()), tags.get(length, ()), strict=False)]
        if ends and max(ends) > len(data):
            raise CutOff

    def value(tag: int, default: int) -> int:
        return (tags.get(tag) or (default,))[0]

    bits, channels, photometric = value(_BITS, 1), value(_CHANNELS, 1), value(_PHOTOMETRIC, 1)
    colours = _COLOURS.get(photometric, "colour")
    needed = {"grey": 1, "palette": 1, "CMYK": 4}.get(colours, 3)
    alpha = channels > needed
    notes = common_notes(bits=bits, colours=colours, profile=_PROFILE in tags)
    if alpha:
        notes.append(_MULTIPLIED if value(_EXTRA, 0) == 2 and colours == "colour" else ALPHA)
    pages, seen = 1, {at}
    while following and following not in seen and pages < _MOST_PAGES and following + 2 <= len(data):
        seen.add(following)
        pages += 1
        (count,) = struct.unpack_from(f"{order}H", data, following)
        last = following + 2 + 12 * count
        following = struct.unpack_from(f"{order}I", data, last)[0] if last + 4 <= len(data) else 0
    notes += frames_note(pages, "pages")
    layout = {
        "planes": channels > 1 and value(_PLANES, 1) == 2,
        "tiles": _TILE_SIDES[0] in tags,
        "turned": value(_ORIENTATION, 1) in range(2, 9),
        "min-is-white": photometric == 0,
        "multiplied": value(_EXTRA, 0) == 1,
        "signed": value(_FORMAT, 1) == 2,
    }
    return Header(
        "TIFF", value(_HEIGHT, 0), value(_WIDTH, 0), bits, colours, alpha, tuple(notes),
        _refused(tags, bits, colours, channels), layout=frozenset(name for name, applies in layout.items() if applies),
    )  # fmt: skip


def _refused(tags: dict[int, tuple[int, ...]], bits: int, colours: str, channels: int) -> str | None:
    """Return the reason why the original's pixels of a page with these tags are not available, or None."""
    if len(set(tags.get(_BITS) or (bits,))) > 1 or bits not in (1, 8, 16):
        return f"a TIFF of {bits} bits per channel, which the original's reader does not read"
    if set(tags.get(_FORMAT) or (1,)) & {3, 5, 6}:
        return "a TIFF of floating-point numbers, which the original's reader does not read"
    if bits == 16 and colours in ("CMYK", "Lab"):
        return f"a TIFF of 16-bit {colours}, which the original's reader does not read"
    if channels > 4:
        return f"a TIFF of {channels} channels, which the original's reader does not read"
    compression = (tags.get(_COMPRESSION) or (1,))[0]
    if compression in _NOT_IN_OPENCV:
        return f"a TIFF compressed with {_NOT_IN_OPENCV[compression]}, which current OpenCV does not read"
    tile = [(tags.get(tag) or (0,))[0] for tag in _TILE_SIDES]
    samples = tile[0] * tile[1] * (1 if tags.get(_PLANES) == (2,) else channels)
    if compression == 1 and (samples * bits // 8) % 1024:
        # libtiff 4.7.1 (in OpenCV 4.14) assumes that such a tile has a wrong length
        return "a TIFF with uncompressed tiles that are not a multiple of 1 KiB, which current OpenCV does not read"
    return None
