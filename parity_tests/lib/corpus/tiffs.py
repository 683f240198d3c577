"""TIFF files with different compressions, photometric interpretations, depths and layouts."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from lib.corpus.pictures import alpha, colours, deep, in_mode, opencv, pillow, profile, tiff


def tiffs() -> Iterator[tuple[str, bytes | None]]:
    """Yield each compression, photometric interpretation, depth, layout, byte order, alpha, and several pages."""
    rgb, image = in_mode("RGB"), colours()
    names = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg", "zstd", "lzma", "webp", "group3",
             "group4", "tiff_ccitt")  # fmt: skip
    for compression in names:
        for mode in ("RGB", "L", "1", "P", "RGBA", "CMYK", "YCbCr", "LAB", "LA", "I;16"):
            yield f"TIFF/{compression} {mode}", pillow(in_mode(mode), "TIFF", compression=compression)
    yield "TIFF/predictor", pillow(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "TIFF/ICC", pillow(rgb, "TIFF", icc_profile=profile())
    yield "TIFF/two pages", pillow(rgb, "TIFF", save_all=True, append_images=[rgb.rotate(180)])
    yield "TIFF/second page of another kind", pillow(rgb, "TIFF", save_all=True, append_images=[in_mode("1")])
    grey, four = image[..., 1], np.dstack([image, alpha()])
    inks = np.asarray(in_mode("CMYK"))
    arrays = {
        "grey": (grey, {"photometric": "minisblack"}), "min-is-white": (grey, {"photometric": "miniswhite"}),
        "colour": (image, {"photometric": "rgb"}), "CMYK": (inks, {"photometric": "separated"}),
        "alpha": (four, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        "premultiplied alpha": (four, {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
        "unspecified fourth": (four, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        "grey and alpha": (np.dstack([grey, alpha()]), {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
        "five channels": (np.dstack([four, grey]), {"photometric": "rgb", "extrasamples": ["unassalpha"] * 2}),
        "Lab": (image, {"photometric": "cielab"}),
    }  # fmt: skip
    layouts = {
        "": {}, "strips": {"rowsperstrip": 5}, "tiles": {"tile": (32, 32)}, "deflate": {"compression": "zlib"},
        "big-endian": {"byteorder": ">"}, "BigTIFF": {"bigtiff": True},
        "tiles, deflate": {"tile": (16, 16), "compression": "zlib"},
    }  # fmt: skip
    for kind, (array, options) in arrays.items():
        for layout, more in layouts.items():
            for depth in ("8-bit", "16-bit", "float", "32-bit"):
                if depth in ("float", "32-bit") and layout not in ("", "tiles", "strips"):
                    continue
                stored = {"8-bit": array, "16-bit": deep(array), "float": np.float32(array) / 255,
                          "32-bit": array.astype(np.uint32) << 24}[depth]  # fmt: skip
                yield f"TIFF/{depth} {kind} {layout}".strip(), tiff(stored, **options, **more)
                if array.ndim == 3 and layout in ("", "tiles", "deflate"):
                    planes = np.ascontiguousarray(stored.transpose(2, 0, 1))
                    data = tiff(planes, planarconfig="separate", **options, **more)
                    yield f"TIFF/{depth} {kind} planes {layout}".strip(), data
    for kind, options in (("grey", {"photometric": "minisblack"}), ("min-is-white", {"photometric": "miniswhite"})):
        yield f"TIFF/1-bit {kind}", tiff(grey > 128, **options)
    palette = in_mode("P")
    table = np.array(palette.getpalette("RGB"), np.uint16)
    table = np.pad(table, (0, 768 - len(table))).reshape(256, 3).T
    yield "TIFF/palette", tiff(np.asarray(palette), photometric="palette", colormap=table * 257)
    yield "TIFF/palette of 8-bit entries", tiff(np.asarray(palette), photometric="palette", colormap=table)
    yield "TIFF/palette tiles", tiff(np.asarray(palette), photometric="palette", colormap=table * 257, tile=(32, 32))
    for side in (16, 48, 64, 240):
        yield f"TIFF/tiles of {side}", tiff(image, photometric="rgb", tile=(side, side))
        yield f"TIFF/grey tiles of {side}", tiff(grey, tile=(side, side))
        yield f"TIFF/16-bit tiles of {side}", tiff(deep(image), photometric="rgb", tile=(side, side))
    for name in ("int8", "int16", "int32", "float64", "float16", "uint64"):
        yield f"TIFF/{name} grey", tiff(grey.astype(name))
        yield f"TIFF/{name} colour", tiff(image.astype(name), photometric="rgb")
    for suffix, array in (("grey", grey), ("colour", image), ("alpha", four)):
        yield f"TIFF/OpenCV {suffix}", opencv(".tiff", array)
        yield f"TIFF/OpenCV 16-bit {suffix}", opencv(".tiff", deep(array))
        yield f"TIFF/OpenCV float {suffix}", opencv(".tiff", np.float32(array) / 255)
    for bits in (2, 4, 6, 10, 12, 14):
        yield f"TIFF/{bits}-bit grey", tiff_of_bits(grey, bits)
        yield f"TIFF/{bits}-bit colour", tiff_of_bits(image, bits)
    for factors in ((1, 1), (2, 1), (2, 2), (1, 2), (4, 1)):
        yield f"TIFF/YCbCr {factors[0]} x {factors[1]}", tiff_ycbcr(image, *factors)


def _ifd(entries: list[tuple[int, int, list[int]]], pixels: bytes) -> bytes:
    """Return a little-endian TIFF with one strip; entries: (tag, type 3 or 4, values), without the strip's own."""
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
    """Return a TIFF with 2 to 14 bits per sample, packed."""
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
    """Return a TIFF of YCbCr data units, each `down` x `across` luma samples, then Cb and Cr."""
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
