"""Image files that no library here writes, put together from bytes. Part of corpus.py."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # y x dy dx


def chunk(name: bytes, data: bytes = b"", *, crc: int | None = None) -> bytes:
    """A chunk of a PNG; crc: another checksum than the right one."""
    right = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", right if crc is None else crc)


def _packed(samples: np.ndarray, depth: int) -> bytes:
    """Rows of samples (H, W, C), each behind filter byte 0."""
    rows = samples.reshape(len(samples), -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8).reshape(len(rows), -1)
    elif depth == 8:
        packed = rows.astype(np.uint8)
    else:
        bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        packed = np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)
    return np.hstack([np.zeros((len(rows), 1), np.uint8), packed]).tobytes()


def png(samples: np.ndarray, depth: int, colour_type: int, *, interlaced=False, before=b"", behind=b"") -> bytes:
    """A PNG. samples: (H, W, C) unsigned of `depth` bits; before, behind: chunks about IDAT."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    data = zlib.compress(b"".join(_packed(part, depth) for part in passes if part.size))
    half = len(data) // 2  # IDAT may come in pieces
    return (
        SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:])
        + behind + chunk(b"IEND")
    )  # fmt: skip


def _samples(colours: np.ndarray, alpha: np.ndarray, depth: int, colour_type: int) -> np.ndarray:
    grey = colours[..., 1:2]
    parts = {0: [grey], 2: [colours], 3: [grey], 4: [grey, alpha[..., None]], 6: [colours, alpha[..., None]]}
    samples = np.concatenate(parts[colour_type], 2).astype(np.uint16)
    return (samples * 257 ^ 11 * (samples % 20 > 5)).astype(np.uint16) if depth == 16 else samples >> (8 - depth)


def pngs(colours: np.ndarray, alpha: np.ndarray, *, chunks: bool = True) -> Iterator[tuple[str, bytes]]:
    """Every colour type and depth, interlaced or not; chunks: with ancillary chunks, too."""
    names = {0: "grey", 2: "colour", 3: "palette", 4: "grey and alpha", 6: "colour and alpha"}
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    table = np.random.RandomState(3).randint(0, 256, (256, 3)).astype(np.uint8)
    for colour_type, name in names.items():
        for depth in depths[colour_type]:
            samples = _samples(colours, alpha, depth, colour_type)
            palette = chunk(b"PLTE", table[: 1 << depth].tobytes()) if colour_type == 3 else b""
            for interlaced in (False, True):
                what = f"PNG/{name} {depth}-bit{' interlaced' * interlaced}"
                yield what, png(samples, depth, colour_type, interlaced=interlaced, before=palette)
                clear = {
                    0: struct.pack(">H", int(samples[0, 0, 0])), 2: samples[0, 0, :3].astype(">u2").tobytes(),
                    3: bytes(range(0, 1 << min(depth, 7))),
                }.get(colour_type)  # fmt: skip
                if clear:
                    before = palette + chunk(b"tRNS", clear)
                    yield f"{what} with tRNS", png(samples, depth, colour_type, interlaced=interlaced, before=before)
    if chunks:
        yield from _odd_chunks(_samples(colours, alpha, 8, 2), _samples(colours, alpha, 16, 2))


def _odd_chunks(samples: np.ndarray, deep: np.ndarray) -> Iterator[tuple[str, bytes]]:
    text = b"Comment\0" + b"some text " * 20
    big = bytes(3 << 20)
    before = {
        "tEXt": chunk(b"tEXt", text), "tEXt, bad checksum": chunk(b"tEXt", text, crc=1),
        "zTXt, bad checksum": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(text), crc=1),
        "zTXt of 3 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(big)),
        "zTXt of 12 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(4 * big)),
        "zTXt, broken inside": chunk(b"zTXt", b"Comment\0\0" + b"not zlib"),
        "iTXt of 3 MB": chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(big)),
        "tEXt of 9 MB": chunk(b"tEXt", b"Comment\0" + b"x" * (9 << 20)),
        "many tEXt": chunk(b"tEXt", text) * 1200,
        "tIME": chunk(b"tIME", struct.pack(">HBBBBB", 2017, 10, 22, 8, 0, 0)),
        "tIME, wrong length": chunk(b"tIME", b"abc"), "unknown ancillary": chunk(b"abCd", b"whatever"),
        "unknown ancillary, bad checksum": chunk(b"abCd", b"whatever", crc=1),
        "unknown critical": chunk(b"AbCd", b"whatever"),
        "gAMA 1": chunk(b"gAMA", struct.pack(">I", 100000)), "gAMA 0.45455": chunk(b"gAMA", struct.pack(">I", 45455)),
        "gAMA, bad checksum": chunk(b"gAMA", struct.pack(">I", 45455), crc=1),
        "sRGB": chunk(b"sRGB", b"\0"), "pHYs": chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
        "cHRM": chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        "bKGD": chunk(b"bKGD", struct.pack(">3H", 255, 0, 0)), "sBIT 5": chunk(b"sBIT", b"\5\6\5"),
        "iCCP, broken": chunk(b"iCCP", b"name\0\0" + zlib.compress(b"no profile")),
        "iCCP, bad checksum": chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(200)), crc=1),
        "suggested palette": chunk(b"PLTE", bytes(range(255))), "hIST": chunk(b"hIST", bytes(512)),
        "eXIf, broken": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"), "eXIf, bad checksum": chunk(b"eXIf", b"MM\0*", crc=1),
        "cICP": chunk(b"cICP", b"\x09\x10\0\1"), "an empty tEXt": chunk(b"tEXt"),
    }  # fmt: skip
    for name, odd in before.items():
        yield f"PNG/{name}", png(samples, 8, 2, before=odd)
        if not name.startswith(("gAMA", "sRGB", "cHRM", "bKGD", "sBIT", "sugg", "hIST", "tEXt of", "unknown critical")):
            yield f"PNG/{name} behind IDAT", png(samples, 8, 2, behind=odd)
    for name in ("gAMA 1", "gAMA 0.45455", "sBIT 5"):
        yield f"PNG/16-bit, {name}", png(deep, 16, 2, before=before[name])
    plain = png(samples, 8, 2)
    yield "PNG/bytes behind IEND", plain + b"something else" * 9
    yield "PNG/IEND, bad checksum", plain[:-4] + b"\0\0\0\1"
    yield "PNG/IHDR, bad checksum", plain[:29] + b"\0\0\0\1" + plain[33:]
    at = plain.index(b"IEND") - 4
    yield "PNG/IDAT, bad checksum", plain[: at - 4] + b"\0\0\0\1" + plain[at:]


def _segments(data: bytes) -> list[bytes]:
    """A JPEG's segments in front of its scan, and the rest."""
    parts, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        size = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append(data[at : at + size])
        at += size
    return [*parts, data[at:]]


def _segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(data)) + data


def jpeg_without(data: bytes, marker: int) -> bytes:
    """A JPEG without the segments of a marker."""
    return b"".join(part for part in _segments(data) if part[1] != marker)


def jpeg_adobe(data: bytes, transform: int) -> bytes:
    """A JPEG whose Adobe marker says which colour transform there was."""
    plain = jpeg_without(jpeg_without(data, 0xEE), 0xE0)
    return plain[:2] + _segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform)) + plain[2:]


def jpeg_late_exif(data: bytes, exif: bytes) -> bytes:
    """A JPEG whose EXIF segment stands behind all others."""
    *parts, rest = _segments(data)
    exif = exif if exif.startswith(b"Exif") else b"Exif\0\0" + exif
    return b"".join([*parts, _segment(0xFE, b"first"), _segment(0xE1, exif), rest])


def jpeg_with_thumbnail(data: bytes, thumbnail: bytes) -> bytes:
    """A JPEG with a second one inside its first segment."""
    ifd = b"II*\0\x08\0\0\0\0\0\x0e\0\0\0" + struct.pack("<H", 2)
    ifd += struct.pack("<HHII", 0x201, 4, 1, 44) + struct.pack("<HHII", 0x202, 4, 1, len(thumbnail)) + bytes(4)
    return data[:2] + _segment(0xE1, b"Exif\0\0" + ifd + thumbnail) + data[2:]


def jpeg_of_12_bits(data: bytes) -> bytes:
    """A JPEG that says to hold 12 bits a sample (extended sequential)."""
    parts = _segments(data)
    return b"".join(b"\xff\xc1" + part[2:4] + b"\x0c" + part[5:] if part[1] == 0xC0 else part for part in parts)


def jp2_signed(codestream: bytes) -> bytes:
    """A JPEG 2000 codestream whose components are signed."""
    data = bytearray(codestream)
    for component in range(3):
        data[42 + 3 * component] |= 0x80  # Ssiz, behind SOC and the fixed part of SIZ
    return bytes(data)


def _ifd(entries: list[tuple[int, int, list[int]]], pixels: bytes) -> bytes:
    """A little-endian TIFF of one strip. entries: (tag, type 3 or 4, values), without those of the strip."""
    entries = sorted([*entries, (273, 4, [8]), (279, 4, [len(pixels)])])
    pixels += b"\0" * (len(pixels) % 2)
    ifd, extra = struct.pack("<H", len(entries)), b""
    start = 8 + len(pixels) + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        data = struct.pack(f"<{len(values)}{'HI'[kind - 3]}", *values)
        if len(data) > 4:
            data, extra = struct.pack("<I", start + len(extra)), extra + data
        ifd += struct.pack("<HHI", tag, kind, len(values)) + data.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + ifd + bytes(4) + extra


def tiff_of_bits(samples: np.ndarray, bits: int) -> bytes:
    """A TIFF of 2 to 14 bits a sample, packed."""
    rows = samples.reshape(len(samples), -1).astype(np.uint32)
    rows = rows >> (8 - bits) if bits < 8 else rows << (bits - 8)
    packed = np.packbits(((rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(len(rows), -1), axis=1)
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    return _ifd(
        [(256, 3, [samples.shape[1]]), (257, 3, [len(samples)]), (258, 3, [bits] * channels), (259, 3, [1]),
         (262, 3, [1 if channels == 1 else 2]), (277, 3, [channels]), (278, 3, [len(samples)]), (284, 3, [1])],
        packed.tobytes(),
    )  # fmt: skip


def tiff_ycbcr(colours: np.ndarray, across: int, down: int) -> bytes:
    """A TIFF of YCbCr data units: `down` x `across` luma samples, then Cb and Cr."""
    planes = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    height, width = (-(-side // step) * step for side, step in zip(planes.shape[:2], (down, across), strict=True))
    planes = np.pad(planes, ((0, height - len(planes)), (0, width - planes.shape[1]), (0, 0)), mode="edge")
    luma = planes[..., 0].reshape(height // down, down, width // across, across).transpose(0, 2, 1, 3)
    units = np.concatenate([luma.reshape(*luma.shape[:2], -1), planes[::down, ::across, 1:]], 2)
    return _ifd(
        [(256, 3, [colours.shape[1]]), (257, 3, [len(colours)]), (258, 3, [8] * 3), (259, 3, [1]), (262, 3, [6]),
         (277, 3, [3]), (278, 3, [len(colours)]), (284, 3, [1]), (530, 3, [across, down])],
        units.tobytes(),
    )  # fmt: skip


def _bmp(rows: bytes, height: int, width: int, bits: int, *, compression=0, palette=b"", masks=b"", size=40) -> bytes:
    """size: of the header (12: OS/2). masks: three or four colour masks, inside a larger header or behind it."""
    if size == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, len(rows), 2835, 2835, len(palette) // 4, 0)  # fmt: skip
        info = (info + masks).ljust(size, b"\0") if size > 40 else info + masks
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + palette + rows


def _padded(array: np.ndarray) -> bytes:
    """Rows of bytes, each padded to a multiple of four, the lowest first."""
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
    """Depths, run lengths, masks, headers, top-down."""
    height, width = colours.shape[:2]
    grey = colours[..., 1]
    bgr, bgra = colours[..., ::-1], np.dstack([colours[..., ::-1], alpha])
    table = np.random.RandomState(3).randint(0, 256, (256, 4)).astype(np.uint8)
    table[:, 3] = 0
    deep = colours.astype(np.uint16) >> 3
    fives = deep[..., 0] << 10 | deep[..., 1] << 5 | deep[..., 2]
    sixes = deep[..., 0] << 11 | (colours[..., 1].astype(np.uint16) >> 2) << 5 | deep[..., 2]
    for size in (40, 108, 124):
        yield f"BMP/24-bit, header {size}", _bmp(_padded(bgr), height, width, 24, size=size)
        yield f"BMP/32-bit, header {size}", _bmp(_padded(bgra), height, width, 32, size=size)
        masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        yield f"BMP/32-bit masks, header {size}", _bmp(_padded(bgra), height, width, 32, compression=3, masks=masks, size=size)  # fmt: skip
        odd = struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
        yield f"BMP/32-bit RGBA masks, header {size}", _bmp(_padded(bgra[..., [2, 1, 0, 3]]), height, width, 32, compression=3, masks=odd, size=size)  # fmt: skip
    top_down = np.ascontiguousarray(bgr[::-1])
    yield "BMP/top-down", _bmp(_padded(top_down), -height, width, 24)
    yield "BMP/top-down 8-bit", _bmp(_padded(grey[::-1]), -height, width, 8, palette=table.tobytes())
    yield "BMP/16-bit 555", _bmp(_padded(fives), height, width, 16)
    for name, data, masks in (("555", fives, (0x7C00, 0x3E0, 0x1F)), ("565", sixes, (0xF800, 0x7E0, 0x1F))):
        yield f"BMP/16-bit masks {name}", _bmp(_padded(data), height, width, 16, compression=3, masks=struct.pack("<3I", *masks))  # fmt: skip
    yield "BMP/OS/2 24-bit", _bmp(_padded(bgr), height, width, 24, size=12)
    yield "BMP/OS/2 8-bit", _bmp(_padded(grey), height, width, 8, size=12, palette=table[:, :3].tobytes())
    for bits in (1, 4, 8):
        samples = grey >> (8 - bits)
        packed = np.packbits(((samples[..., None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(height, -1), axis=1)
        greys = np.repeat(np.linspace(0, 255, 1 << bits).astype(np.uint8)[:, None], 4, 1)
        for name, palette in (("colours", table[: 1 << bits]), ("greys", greys)):
            yield f"BMP/{bits}-bit palette of {name}", _bmp(_padded(packed), height, width, bits, palette=palette.tobytes())  # fmt: skip
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
    """PBM, PGM, PPM, ASCII and binary, 8 and 16 bits, odd maxima, comments; PAM."""
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
    for kind, samples in (("GRAYSCALE", grey), ("RGB", colours), ("RGB_ALPHA", np.dstack([colours, grey])),
                          ("GRAYSCALE_ALPHA", colours[..., :2]), ("BLACKANDWHITE", (grey > 128).astype(np.uint8))):  # fmt: skip
        depth = 1 if samples.ndim == 2 else samples.shape[2]
        most = 1 if kind == "BLACKANDWHITE" else 255
        head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {most}\nTUPLTYPE {kind}\nENDHDR\n"
        yield f"PAM/{kind}", head.encode() + np.ascontiguousarray(samples).tobytes()
        if most > 1:
            deep = (samples.astype(np.uint16) * 257).astype(">u2").tobytes()
            yield f"PAM/{kind} 16-bit", head.replace("MAXVAL 255", "MAXVAL 65535").encode() + deep


def suns(colours: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Sun rasters: depths 1, 8, 24, 32, with a colour map or run lengths."""
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
    """PFM of both byte orders, grey and colour, also beyond 0..1; HDR without run lengths."""
    height, width = colours.shape[:2]
    for scale in (1.0, 255.0):
        for order, name in (("<", "little-endian"), (">", "big-endian")):
            for kind, samples in (("PF", colours), ("Pf", colours[..., 1])):
                values = (samples[::-1].astype(np.float32) / 255 * scale).astype(f"{order}f4")
                head = f"{kind}\n{width} {height}\n{'-' * (order == '<')}1.0\n".encode()
                yield f"PFM/{kind} {name}, up to {scale:g}", head + values.tobytes()
    rgbe = np.dstack([colours, np.full((height, width), 128, np.uint8)])
    yield "HDR/without run lengths", f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode() + rgbe.tobytes()  # fmt: skip
    file = io.BytesIO()
    Image.fromarray(colours).convert("P").save(file, "PCX")
    yield "PCX/palette", file.getvalue()
