"""Image files of every kind that people have, for the readers: generated, a few hundred, each some 40 pixels wide.

    for name, data in corpus.files(): ...      # name: "FORMAT/what is odd about it"

The library that writes most of a format writes it (Pillow, OpenCV, tifffile); what none of them writes is put together
from bytes in corpus_bytes.py.
"""

import io
import struct
from collections.abc import Iterator

import cv2
import numpy as np
import tifffile
from lib import corpus_bytes
from PIL import Image, ImageCms

HEIGHT, WIDTH = 37, 46
SIZES = [(1, 1), (1, 7), (9, 1), (2, 3), (17, 16), (8, 8), (33, 31)]  # height, width
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16")


def colours(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Uint8 (H, W, 3), RGB: three gradients, blocks of full colours and a little noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.RandomState(seed).randint(0, 24, (height, width, 3))
    image = np.stack([x * 230 // max(width - 1, 1), y * 230 // max(height - 1, 1), (x * 5 + y * 3) % 230], 2) + noise
    image[: height // 4, : width // 4] = (255, 0, 0)
    image[: height // 4, width // 4 : width // 2] = (3, 250, 20)
    image[height // 4 : height // 2, : width // 4] = (0, 0, 255)
    return image.clip(0, 255).astype(np.uint8)


def alpha(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Uint8 (H, W): from clear to opaque."""
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def deep(image: np.ndarray, bits: int = 16) -> np.ndarray:
    """More bits than 8, and low bits that are not all zero."""
    low = np.random.RandomState(1).randint(0, 1 << (bits - 8), image.shape)
    return (image.astype(np.uint16) << (bits - 8) | low).astype(np.uint16)


def in_mode(mode: str, image: np.ndarray | None = None) -> Image.Image:
    """The picture in one of Pillow's modes."""
    image = colours() if image is None else image
    picture = Image.fromarray(image)
    if mode == "I;16":
        return Image.fromarray(deep(image[..., 1]))
    if mode == "I":
        return Image.fromarray(image[..., 1].astype(np.int32) * 300)
    if mode == "F":
        return Image.fromarray(image[..., 1].astype(np.float32) / 255)
    if mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        picture = picture.convert("RGBA")
        picture.putalpha(Image.fromarray(alpha(*image.shape[:2])))
        return picture if mode == "RGBA" else picture.convert("LA").convert(mode) if mode == "La" else _via(picture, mode)
    if mode == "LAB":
        return ImageCms.applyTransform(picture, _to_lab()) or picture
    return picture.convert(mode)


def _via(picture: Image.Image, mode: str) -> Image.Image:
    return picture.convert("P").convert("PA") if mode == "PA" else picture.convert(mode)


def _to_lab():
    return ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")


def profile() -> bytes:
    """An ICC profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pillow(picture: Image.Image, kind: str, **options) -> bytes | None:
    """The file that Pillow writes, or None where it doesn't write the mode."""
    file = io.BytesIO()
    try:
        picture.save(file, kind, **options)
    except (OSError, KeyError, ValueError, TypeError, struct.error):
        return None
    return file.getvalue()


def opencv(suffix: str, array: np.ndarray, *options: int) -> bytes | None:
    """The file that OpenCV writes, or None. array: RGB(A) or grey."""
    order = {2: None, 3: [2, 1, 0]}.get(array.shape[2] if array.ndim == 3 else 2, [2, 1, 0, 3])
    try:
        written, data = cv2.imencode(suffix, array if order is None else np.ascontiguousarray(array[..., order]), options)
    except cv2.error:
        return None
    return data.tobytes() if written else None


def tiff(array: np.ndarray, **options) -> bytes:
    """The file that tifffile writes."""
    file = io.BytesIO()
    big = {"bigtiff": options.pop("bigtiff", False), "byteorder": options.pop("byteorder", "<")}
    with tifffile.TiffWriter(file, **big) as writer:
        writer.write(array, metadata=None, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    """EXIF data that say how the picture is turned."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


KINDS = {"PNG": {}, "JPEG": {"quality": 90}, "BMP": {}, "DIB": {}, "TIFF": {}, "WEBP": {}, "JPEG2000": {}, "PPM": {}, "GIF": {}, "AVIF": {},
         "TGA": {}, "SGI": {}, "PCX": {}, "ICO": {}, "DDS": {}, "QOI": {}, "IM": {}, "MSP": {}, "ICNS": {}, "MPO": {}, "EPS": {}, "PDF": {}, "XBM": {}, "PALM": {}, "BLP": {}}  # fmt: skip


def every_kind_and_mode() -> Iterator[tuple[str, bytes | None]]:
    """What Pillow writes without an option, each format in each mode; each size in the common formats."""
    for kind, options in KINDS.items():
        for mode in MODES:
            yield f"{kind}/{mode}", pillow(in_mode(mode), kind, **options)
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"):
        for height, width in SIZES:
            for mode in ("RGB", "L", "1", "P", "RGBA"):
                picture = in_mode(mode, colours(height, width))
                yield f"{kind}/{mode} {height} x {width}", pillow(picture, kind)


def orientations() -> Iterator[tuple[str, bytes | None]]:
    """EXIF orientations, also such as mean nothing."""
    for turn in (*range(10), 256):
        for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "MPO"):
            yield f"{kind}/EXIF {turn}", pillow(in_mode("RGB"), kind, exif=exif(turn))
        yield f"JPEG/grey, EXIF {turn}", pillow(in_mode("L"), "JPEG", exif=exif(turn))
        yield f"JPEG/CMYK, EXIF {turn}", pillow(in_mode("CMYK"), "JPEG", exif=exif(turn))
        for mode in ("L", "P", "RGBA", "1", "CMYK", "I;16"):
            yield f"TIFF/{mode}, EXIF {turn}", pillow(in_mode(mode), "TIFF", tiffinfo={274: turn})
        yield f"PNG/RGBA, EXIF {turn}", pillow(in_mode("RGBA"), "PNG", exif=exif(turn))
        yield f"PNG/P, EXIF {turn}", pillow(in_mode("P"), "PNG", exif=exif(turn))
        yield f"WEBP/RGBA, EXIF {turn}", pillow(in_mode("RGBA"), "WEBP", exif=exif(turn))
        big_endian = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01" + struct.pack(">HHI", turn, 0, 0)
        yield f"JPEG/EXIF {turn}, big-endian", pillow(in_mode("RGB"), "JPEG", exif=b"Exif\0\0" + big_endian)
        for mode, array in (("16-bit colour", deep(colours())), ("float", np.float32(colours()) / 255)):
            extra = [(274, 3, 1, turn, True)]
            yield f"TIFF/{mode}, EXIF {turn}", tiff(array, photometric="rgb", extratags=extra)
            yield f"TIFF/8-bit colour, tiles, EXIF {turn}", tiff(colours(), photometric="rgb", tile=(32, 32), extratags=extra)
            yield f"TIFF/{mode}, tiles, EXIF {turn}", tiff(array, photometric="rgb", tile=(32, 32), extratags=extra)


def jpegs() -> Iterator[tuple[str, bytes | None]]:
    """Sampling, progressive, restart markers, quality, other colours than YCbCr, comments, profiles."""
    rgb = in_mode("RGB")
    for name in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            yield f"JPEG/{name}, progressive {progressive}", pillow(rgb, "JPEG", subsampling=name, progressive=progressive)
    samplings = {"4:1:1": 0x411111, "4:2:0": 0x221111, "4:2:2": 0x211111, "4:4:0": 0x121111, "4:4:4": 0x111111}
    for name, factor in samplings.items():
        for size in ((HEIGHT, WIDTH), (16, 16), (33, 31), (1, 9), (64, 80), (3, 100)):
            data = opencv(".jpg", colours(*size), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
            yield f"JPEG/sampling {name} {size[0]} x {size[1]}", data
    for quality in (1, 10, 50, 75, 95, 100):
        yield f"JPEG/quality {quality}", pillow(rgb, "JPEG", quality=quality)
        yield f"JPEG/grey, quality {quality}", pillow(in_mode("L"), "JPEG", quality=quality)
    yield "JPEG/restart markers", opencv(".jpg", colours(), cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    yield "JPEG/optimized", pillow(rgb, "JPEG", optimize=True)
    yield "JPEG/RGB kept", pillow(rgb, "JPEG", keep_rgb=True)
    yield "JPEG/comment", pillow(rgb, "JPEG", comment=b"a comment" * 500)
    yield "JPEG/ICC", pillow(rgb, "JPEG", icc_profile=profile())
    yield "JPEG/long ICC in several chunks", pillow(rgb, "JPEG", icc_profile=profile() + bytes(200000))
    yield "JPEG/CMYK, ICC", pillow(in_mode("CMYK"), "JPEG", icc_profile=profile())
    yield "JPEG/grey, ICC", pillow(in_mode("L"), "JPEG", icc_profile=profile())
    yield "JPEG/CMYK, progressive", pillow(in_mode("CMYK"), "JPEG", progressive=True)
    yield "JPEG/two pictures (MPO)", pillow(rgb, "MPO", save_all=True, append_images=[rgb.rotate(180)])
    plain = pillow(rgb, "JPEG", quality=90)
    yield "JPEG/bytes behind the end", plain + b"\0" * 100 + b"something else"
    yield "JPEG/a second JPEG behind the end", plain + plain
    yield "JPEG/fill bytes before a marker", plain[:2] + b"\xff\xff\xff" + plain[2:]
    yield "JPEG/without JFIF", corpus_bytes.jpeg_without(plain, 0xE0)
    yield "JPEG/EXIF with a thumbnail", corpus_bytes.jpeg_with_thumbnail(plain, pillow(rgb.resize((16, 12)), "JPEG"))
    yield "JPEG/EXIF, broken", plain[:2] + b"\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff" + plain[2:]
    for transform in (0, 1, 2):
        yield f"JPEG/Adobe transform {transform}", corpus_bytes.jpeg_adobe(plain, transform)
        four = pillow(in_mode("CMYK"), "JPEG")
        yield f"JPEG/CMYK, Adobe transform {transform}", corpus_bytes.jpeg_adobe(four, transform)
    yield "JPEG/CMYK, no Adobe marker", corpus_bytes.jpeg_without(pillow(in_mode("CMYK"), "JPEG"), 0xEE)
    yield "JPEG/12-bit", corpus_bytes.jpeg_of_12_bits(plain)
    yield "JPEG/EXIF behind other segments", corpus_bytes.jpeg_late_exif(plain, exif(6).tobytes())


def pngs() -> Iterator[tuple[str, bytes | None]]:
    """Every colour type, depth and interlacing; palettes, transparency, ancillary chunks of all kinds, good and bad."""
    yield from corpus_bytes.pngs(colours(), alpha())
    for height, width in SIZES:
        for name, data in corpus_bytes.pngs(colours(height, width), alpha(height, width), chunks=False):
            if "interlaced" in name:
                yield f"{name} {height} x {width}", data
    rgb = in_mode("RGB")
    for mode in ("RGB", "RGBA", "L", "P", "1"):
        frames = [in_mode(mode, np.ascontiguousarray(colours()[::-1]))]
        yield f"PNG/animated {mode}", pillow(in_mode(mode), "PNG", save_all=True, append_images=frames)
        yield f"PNG/animated {mode}, default image", pillow(
            in_mode(mode), "PNG", save_all=True, append_images=frames, default_image=True
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


def tiffs() -> Iterator[tuple[str, bytes | None]]:
    """Compressions, photometric interpretations, depths, strips, tiles, planes, byte orders, alpha, pages."""
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
        "five channels": (np.dstack([four, grey]), {"photometric": "rgb", "extrasamples": ["unassalpha", "unspecified"]}),
        "Lab": (image, {"photometric": "cielab"}),
    }  # fmt: skip
    layouts = {
        "": {}, "strips": {"rowsperstrip": 5}, "tiles": {"tile": (32, 32)}, "deflate": {"compression": "zlib"},
        "big-endian": {"byteorder": ">"}, "BigTIFF": {"bigtiff": True}, "tiles, deflate": {"tile": (16, 16), "compression": "zlib"},
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
    yield "TIFF/tiles with bytes to spare", tiff(image, photometric="rgb", tile=(16, 16))
    for name in ("int8", "int16", "int32", "float64", "float16", "uint64"):
        yield f"TIFF/{name} grey", tiff(grey.astype(name))
        yield f"TIFF/{name} colour", tiff(image.astype(name), photometric="rgb")
    for suffix, array in (("grey", grey), ("colour", image), ("alpha", four)):
        yield f"TIFF/OpenCV {suffix}", opencv(".tiff", array)
        yield f"TIFF/OpenCV 16-bit {suffix}", opencv(".tiff", deep(array))
        yield f"TIFF/OpenCV float {suffix}", opencv(".tiff", np.float32(array) / 255)
    for bits in (2, 4, 6, 10, 12, 14):
        yield f"TIFF/{bits}-bit grey", corpus_bytes.tiff_of_bits(grey, bits)
        yield f"TIFF/{bits}-bit colour", corpus_bytes.tiff_of_bits(image, bits)
    for factors in ((1, 1), (2, 1), (2, 2), (1, 2), (4, 1)):
        yield f"TIFF/YCbCr {factors[0]} x {factors[1]}", corpus_bytes.tiff_ycbcr(image, *factors)


def webps() -> Iterator[tuple[str, bytes | None]]:
    """Lossy, lossless, with alpha, profile, metadata, several frames."""
    rgb, clear = in_mode("RGB"), in_mode("RGBA")
    for quality in (1, 50, 80, 100):
        yield f"WEBP/quality {quality}", pillow(rgb, "WEBP", quality=quality)
        yield f"WEBP/alpha, quality {quality}", pillow(clear, "WEBP", quality=quality)
    for picture, name in ((rgb, "colour"), (clear, "alpha")):
        yield f"WEBP/lossless {name}", pillow(picture, "WEBP", lossless=True)
        yield f"WEBP/lossless {name}, exact", pillow(picture, "WEBP", lossless=True, exact=True)
        yield f"WEBP/{name}, ICC", pillow(picture, "WEBP", icc_profile=profile())
        yield f"WEBP/{name}, XMP", pillow(picture, "WEBP", xmp=b"<x:xmpmeta/>")
        frames = [picture.rotate(180), picture.rotate(90)]
        yield f"WEBP/animated {name}", pillow(picture, "WEBP", save_all=True, append_images=frames)
        yield f"WEBP/animated {name}, lossless", pillow(
            picture, "WEBP", save_all=True, append_images=frames, lossless=True
        )
        for size in ((64, 80), (33, 31), (1, 9)):
            picture = in_mode("RGB" if name == "colour" else "RGBA", colours(*size))
            yield f"WEBP/{name} {size[0]} x {size[1]}", pillow(picture, "WEBP", method=6)


def jpeg2000s() -> Iterator[tuple[str, bytes | None]]:
    """Reversible and not, boxes or bare codestream, depths, layers, tiles, colour transform."""
    rgb = in_mode("RGB")
    for mode in ("RGB", "L", "LA", "RGBA", "I;16", "YCbCr", "P"):
        for irreversible in (False, True):
            for bare in (False, True):
                options = {"irreversible": irreversible, "no_jp2": bare}
                name = f"JPEG2000/{mode}{', irreversible' * irreversible}{', codestream' * bare}"
                yield name, pillow(in_mode(mode), "JPEG2000", **options)
    for layers in ([40], [20, 5], [80, 40, 10]):
        yield f"JPEG2000/layers {layers}", pillow(rgb, "JPEG2000", quality_layers=layers, irreversible=True)
    yield "JPEG2000/tiles", pillow(rgb, "JPEG2000", tile_size=(16, 16))
    yield "JPEG2000/tiles off the grid", pillow(rgb, "JPEG2000", tile_size=(16, 16), offset=(3, 5), tile_offset=(1, 2))
    yield "JPEG2000/no colour transform", pillow(rgb, "JPEG2000", mct=0)
    for progression in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL"):
        yield f"JPEG2000/{progression}", pillow(rgb, "JPEG2000", progression=progression)
    for size in ((64, 80), (5, 3)):
        yield f"JPEG2000/{size[0]} x {size[1]}", pillow(in_mode("RGB", colours(*size)), "JPEG2000", irreversible=True)
    four = np.dstack([colours(), alpha()])
    for name, array in (("grey", colours()[..., 1]), ("colour", colours()), ("alpha", four)):
        yield f"JPEG2000/OpenCV {name}", opencv(".jp2", array)
        yield f"JPEG2000/OpenCV 16-bit {name}", opencv(".jp2", deep(array))
    yield "JPEG2000/signed", corpus_bytes.jp2_signed(pillow(rgb, "JPEG2000", no_jp2=True, mct=0))


def others() -> Iterator[tuple[str, bytes | None]]:
    """BMP, PNM, PAM, PFM, Sun raster, HDR, EXR, GIF, AVIF: what OpenCV and Pillow write, and bytes by hand."""
    image = colours()
    grey, four = image[..., 1], np.dstack([image, alpha()])
    for suffix in (".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm", ".ras", ".sr", ".hdr", ".exr", ".gif",
                   ".avif", ".webp", ".jpg"):  # fmt: skip
        for name, array in (("grey", grey), ("colour", image), ("alpha", four)):
            kind = {"JPG": "JPEG", "SR": "RAS"}.get(suffix[1:].upper(), suffix[1:].upper())
            yield f"{kind}/OpenCV {suffix} {name}", opencv(suffix, array)
            yield f"{kind}/OpenCV {suffix} 16-bit {name}", opencv(suffix, deep(array))
            yield f"{kind}/OpenCV {suffix} float {name}", opencv(suffix, np.float32(array) / 255)
    for suffix in (".ppm", ".pgm", ".pbm"):
        for array in (grey, image, deep(grey), deep(image)):
            yield f"PNM/OpenCV {suffix} ascii {array.ndim} {array.dtype}", opencv(
                suffix, array, cv2.IMWRITE_PXM_BINARY, 0
            )
    rgb = in_mode("RGB")
    frames = [rgb.rotate(180), rgb.rotate(90)]
    for mode in ("RGB", "L", "P", "RGBA", "1"):
        for size in ((HEIGHT, WIDTH), (1, 1), (33, 31)):
            yield f"GIF/{mode} {size[0]} x {size[1]}", pillow(in_mode(mode, colours(*size)), "GIF")
        yield f"GIF/{mode} clear", pillow(in_mode(mode), "GIF", transparency=1)
        yield f"GIF/{mode} interlaced", pillow(in_mode(mode), "GIF", interlace=1)
    yield "GIF/animated", pillow(rgb, "GIF", save_all=True, append_images=frames)
    yield "AVIF/animated", pillow(rgb, "AVIF", save_all=True, append_images=frames)
    yield "AVIF/ICC", pillow(rgb, "AVIF", icc_profile=profile())
    yield "BMP/DPI", pillow(rgb, "BMP", dpi=(300, 300))
    yield from corpus_bytes.bmps(image, alpha())
    yield from corpus_bytes.netpbms(image)
    yield from corpus_bytes.suns(image)
    yield from corpus_bytes.floats(image)


def files() -> Iterator[tuple[str, bytes]]:
    """(name, the file's bytes) of each file, without those that no library here writes. No two have one name."""
    seen = set()
    for part in (every_kind_and_mode, orientations, jpegs, pngs, tiffs, webps, jpeg2000s, others):
        for name, data in part():
            if data is not None and name not in seen:
                seen.add(name)
                yield name, data
