"""BMP, Netpbm, Sun raster, PFM and HDR files, assembled from bytes."""

import struct
from collections.abc import Iterator

import numpy as np


def _bmp(rows: bytes, height: int, width: int, bits: int, *, compression=0, palette=b"", masks=b"", size=40) -> bytes:
    """Return a BMP file.

    Args:
        rows: The pixel data.
        height: In pixels; negative for top-down rows.
        width: In pixels.
        bits: Per pixel.
        compression: BMP's code of the compression.
        palette: Four bytes per colour, or three with OS/2's header.
        masks: Three or four colour masks, which a larger header contains and a header of 40 bytes precedes.
        size: The header's size in bytes; 12 for OS/2.
    """
    if size == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        fields = (size, width, height, 1, bits, compression, len(rows), 2835, 2835, len(palette) // 4, 0)
        info = struct.pack("<IiiHHIIiiII", *fields)
        info = (info + masks).ljust(size, b"\0") if size > 40 else info + masks
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + palette + rows


def _padded(array: np.ndarray) -> bytes:
    """Return the rows as bytes, from bottom to top, each padded to a multiple of four."""
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)[::-1]
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()


def _runs(row: np.ndarray, most: int = 255) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(row):
        same = at
        while same < len(row) and row[same] == row[at] and same - at < most:
            same += 1
        yield same - at, int(row[at])
        at = same


def bmps(colours: np.ndarray, alpha: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield BMP files with each depth, run-length coding, masks, header sizes and top-down rows."""
    height, width = colours.shape[:2]
    grey = colours[..., 1]
    bgr, bgra = colours[..., ::-1], np.dstack([colours[..., ::-1], alpha])
    table = np.random.RandomState(3).randint(0, 256, (256, 4)).astype(np.uint8)
    table[:, 3] = 0
    deep = colours.astype(np.uint16) >> 3
    fives = deep[..., 0] << 10 | deep[..., 1] << 5 | deep[..., 2]
    sixes = deep[..., 0] << 11 | (colours[..., 1].astype(np.uint16) >> 2) << 5 | deep[..., 2]
    masked = {"height": height, "width": width, "compression": 3}
    for size in (40, 52, 56, 108, 124):
        yield f"BMP/24-bit, header {size}", _bmp(_padded(bgr), height, width, 24, size=size)
        yield f"BMP/32-bit, header {size}", _bmp(_padded(bgra), height, width, 32, size=size)
        masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        yield f"BMP/32-bit masks, header {size}", _bmp(_padded(bgra), bits=32, masks=masks, size=size, **masked)
        odd = struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
        rgba = _padded(bgra[..., [2, 1, 0, 3]])
        yield f"BMP/32-bit RGBA masks, header {size}", _bmp(rgba, bits=32, masks=odd, size=size, **masked)
    top_down = np.ascontiguousarray(bgr[::-1])
    yield "BMP/top-down", _bmp(_padded(top_down), -height, width, 24)
    yield "BMP/top-down 8-bit", _bmp(_padded(grey[::-1]), -height, width, 8, palette=table.tobytes())
    yield "BMP/16-bit 555", _bmp(_padded(fives), height, width, 16)
    for name, data, masks in (("555", fives, (0x7C00, 0x3E0, 0x1F)), ("565", sixes, (0xF800, 0x7E0, 0x1F))):
        yield f"BMP/16-bit masks {name}", _bmp(_padded(data), bits=16, masks=struct.pack("<3I", *masks), **masked)
    yield "BMP/OS/2 24-bit", _bmp(_padded(bgr), height, width, 24, size=12)
    yield "BMP/OS/2 8-bit", _bmp(_padded(grey), height, width, 8, size=12, palette=table[:, :3].tobytes())
    for bits in (1, 4, 8):
        samples = grey >> (8 - bits)
        packed = np.packbits(((samples[..., None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(height, -1), axis=1)
        greys = np.repeat(np.linspace(0, 255, 1 << bits).astype(np.uint8)[:, None], 4, 1)
        for name, palette in (("colours", table[: 1 << bits]), ("greys", greys)):
            data = _bmp(_padded(packed), height, width, bits, palette=palette.tobytes())
            yield f"BMP/{bits}-bit palette of {name}", data
    yield "BMP/8-bit palette of 100", _bmp(_padded(grey % 100), height, width, 8, palette=table[:100].tobytes())
    flat = grey // 64 * 64
    coded = b"".join(b"".join(bytes(run) for run in _runs(row)) + b"\0\0" for row in flat[::-1]) + b"\0\1"
    yield "BMP/RLE8", _bmp(coded, height, width, 8, compression=1, palette=table.tobytes())
    absolute = b"".join(b"\0" + bytes((width,)) + row.tobytes() + b"\0" * (width % 2) + b"\0\0" for row in grey[::-1])
    yield "BMP/RLE8 absolute", _bmp(absolute + b"\0\1", height, width, 8, compression=1, palette=table.tobytes())
    jump = bytes((5, 7, 0, 2, 4, 2, 6, 9, 0, 0, 3, 1, 0, 1))
    yield "BMP/RLE8 with jumps", _bmp(jump, height, width, 8, compression=1, palette=table.tobytes())
    nibbles = [[(count, value * 17) for count, value in _runs(row >> 4)] for row in flat[::-1]]
    coded = b"".join(b"".join(bytes(run) for run in row) + b"\0\0" for row in nibbles) + b"\0\1"
    yield "BMP/RLE4", _bmp(coded, height, width, 4, compression=2, palette=table[:16].tobytes())


def netpbms(colours: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield PBM, PGM and PPM files, ASCII and binary, with 8 and 16 bits, odd maxima and comments; and PAM files."""
    height, width = colours.shape[:2]
    grey = colours[..., 1]
    for most in (1, 15, 100, 255, 256, 1000, 4095, 65535):
        for number, samples in ((2, grey), (3, colours)):
            values = samples.astype(np.uint32) * most // 255
            text = "\n".join(" ".join(map(str, row)) for row in values.reshape(height, -1))
            yield f"PNM/P{number} up to {most}", f"P{number}\n{width} {height}\n{most}\n{text}\n".encode()
            binary = values.astype(">u2" if most > 255 else np.uint8).tobytes()
            yield f"PNM/P{number + 3} up to {most}", f"P{number + 3}\n{width} {height}\n{most}\n".encode() + binary
    bits = grey > 128
    text = "\n".join(" ".join("01"[int(v)] for v in row) for row in bits)
    yield "PNM/P1", f"P1\n{width} {height}\n{text}\n".encode()
    yield "PNM/P1 without blanks", f"P1\n{width} {height}\n{text.replace(' ', '')}\n".encode()
    yield "PNM/P4", f"P4\n{width} {height}\n".encode() + np.packbits(bits, axis=1).tobytes()
    yield "PNM/P6, comments", f"P6\n# a comment\n{width} # another\n{height}\n255\n".encode() + colours.tobytes()
    yield "PNM/P6, one line", f"P6 {width} {height} 255 ".encode() + colours.tobytes()
    yield "PNM/P6, two pictures", 2 * (f"P6 {width} {height} 255\n".encode() + colours.tobytes())
    tuples = {
        "GRAYSCALE": grey, "RGB": colours, "RGB_ALPHA": np.dstack([colours, grey]), "GRAYSCALE_ALPHA": colours[..., :2],
        "BLACKANDWHITE": (grey > 128).astype(np.uint8),
    }  # fmt: skip
    for kind, samples in tuples.items():
        depth = 1 if samples.ndim == 2 else samples.shape[2]
        most = 1 if kind == "BLACKANDWHITE" else 255
        head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {most}\nTUPLTYPE {kind}\nENDHDR\n"
        yield f"PAM/{kind}", head.encode() + np.ascontiguousarray(samples).tobytes()
        if most > 1:
            deep = (samples.astype(np.uint16) * 257).astype(">u2").tobytes()
            yield f"PAM/{kind} 16-bit", head.replace("MAXVAL 255", "MAXVAL 65535").encode() + deep


def suns(colours: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield Sun rasters with depths 1, 8, 24 and 32, with a colour map or run-length coding."""
    height, width = colours.shape[:2]
    grey = colours[..., 1]
    table = np.random.RandomState(3).randint(0, 256, (3, 256)).astype(np.uint8).tobytes()

    def raster(samples, bits, kind=1, colour_map=b""):
        rows = np.ascontiguousarray(samples).reshape(height, -1)
        data = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).tobytes()
        if kind == 2:
            data = b"".join(
                bytes((128, n - 1, v)) if n > 2 else (b"\x80\0" if v == 128 else bytes((v,))) * n
                for n, v in _runs(np.frombuffer(data, np.uint8), 256)
            )
        head = (0x59A66A95, width, height, bits, len(data), kind, 1 if colour_map else 0, len(colour_map))
        return struct.pack(">8I", *head) + colour_map + data

    for kind, name in ((0, "old"), (1, "standard"), (2, "run lengths"), (3, "RGB")):
        yield f"RAS/{name} 24-bit", raster(colours[..., ::-1], 24, kind)
        yield f"RAS/{name} 32-bit", raster(np.dstack([grey, colours[..., ::-1]]), 32, kind)
        yield f"RAS/{name} 8-bit", raster(grey, 8, kind)
        yield f"RAS/{name} 8-bit, colour map", raster(grey, 8, kind, table)
        yield f"RAS/{name} 1-bit", raster(np.packbits(grey > 128, axis=1), 1, kind)


def floats(colours: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield PFM files in both byte orders, grey and colour, with values up to 1 and 255; HDR without run lengths."""
    height, width = colours.shape[:2]
    for scale in (1.0, 255.0):
        for order, name in (("<", "little-endian"), (">", "big-endian")):
            for kind, samples in (("PF", colours), ("Pf", colours[..., 1])):
                values = (samples[::-1].astype(np.float32) / 255 * scale).astype(f"{order}f4")
                head = f"{kind}\n{width} {height}\n{'-' * (order == '<')}1.0\n".encode()
                yield f"PFM/{kind} {name}, up to {scale:g}", head + values.tobytes()
    rgbe = np.dstack([colours, np.full((height, width), 128, np.uint8)])
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n"
    yield "HDR/without run lengths", head.encode() + rgbe.tobytes()
