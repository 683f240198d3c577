"""PNG files with each colour type, depth, interlacing and chunk; assembled from bytes where no library writes them."""

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from lib.corpus.pictures import SIZES, alpha, colours, deep, in_mode, opencv, pillow, profile

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)  # y x dy dx


def pngs() -> Iterator[tuple[str, bytes | None]]:
    """Yield every colour type, depth and interlacing, palettes, transparency, valid and invalid ancillary chunks."""
    yield from written(colours(), alpha())
    for height, width in SIZES:
        for name, data in written(colours(height, width), alpha(height, width), chunks=False):
            if "interlaced" in name:
                yield f"{name} {height} x {width}", data
    rgb = in_mode("RGB")
    for mode in ("RGB", "RGBA", "L", "P", "1"):
        frames = [in_mode(mode, np.ascontiguousarray(colours()[::-1]))]
        yield f"PNG/animated {mode}", pillow(in_mode(mode), "PNG", save_all=True, append_images=frames)
        yield (
            f"PNG/animated {mode}, default image",
            pillow(in_mode(mode), "PNG", save_all=True, append_images=frames, default_image=True),
        )
        yield f"PNG/ICC {mode}", pillow(in_mode(mode), "PNG", icc_profile=profile())
    for level in (0, 1, 9):
        yield f"PNG/compression {level}", pillow(rgb, "PNG", compress_level=level)
    for bits in (1, 2, 4):
        yield f"PNG/palette of {bits} bits", pillow(rgb.quantize(1 << bits), "PNG", bits=bits)
        yield f"PNG/palette of {bits} bits, clear", pillow(rgb.quantize(1 << bits), "PNG", bits=bits, transparency=1)
    yield "PNG/palette, alpha of each colour", pillow(rgb.quantize(200), "PNG", transparency=bytes(range(200)))
    yield "PNG/grey, clear", pillow(in_mode("L"), "PNG", transparency=76)
    yield "PNG/colour, clear", pillow(rgb, "PNG", transparency=(255, 0, 0))
    for name, array in (("grey", deep(colours()[..., 1])), ("colour", deep(colours()))):
        yield f"PNG/16-bit {name} of OpenCV", opencv(".png", array)
    yield "PNG/16-bit colour and alpha of OpenCV", opencv(".png", deep(np.dstack([colours(), alpha()])))
    yield "PNG/bilevel of OpenCV", opencv(".png", colours()[..., 0] // 128 * 255, cv2.IMWRITE_PNG_BILEVEL, 1)


def chunk(name: bytes, data: bytes = b"", *, crc: int | None = None) -> bytes:
    """Return a chunk of a PNG; crc replaces the right checksum."""
    right = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", right if crc is None else crc)


def _packed(samples: np.ndarray, depth: int) -> bytes:
    """Pack samples (H, W, C) into rows of bytes that each start with filter byte 0."""
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
    """Return a PNG of unsigned samples (H, W, C) of `depth` bits; before, behind: chunks before and after IDAT."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    data = zlib.compress(b"".join(_packed(part, depth) for part in passes if part.size))
    half = len(data) // 2  # IDAT may be split
    return (
        SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:])
        + behind + chunk(b"IEND")
    )  # fmt: skip


def _samples(colours: np.ndarray, alpha: np.ndarray, depth: int, colour_type: int) -> np.ndarray:
    grey = colours[..., 1:2]
    parts = {0: [grey], 2: [colours], 3: [grey], 4: [grey, alpha[..., None]], 6: [colours, alpha[..., None]]}
    samples = np.concatenate(parts[colour_type], 2).astype(np.uint16)
    return (samples * 257 ^ 11 * (samples % 20 > 5)).astype(np.uint16) if depth == 16 else samples >> (8 - depth)


def written(colours: np.ndarray, alpha: np.ndarray, *, chunks: bool = True) -> Iterator[tuple[str, bytes]]:
    """Yield every colour type and depth, interlaced or not; chunks: also files with ancillary chunks."""
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
