"""Files that Pillow and OpenCV write: every format in every mode, orientations, WebP, JPEG 2000 and other formats."""

import struct
from collections.abc import Iterator

import cv2
import numpy as np

from lib.corpus import uncompressed
from lib.corpus.pictures import (
    HEIGHT,
    MODES,
    SIZES,
    WIDTH,
    alpha,
    colours,
    deep,
    exif,
    in_mode,
    opencv,
    pillow,
    profile,
    tiff,
)  # fmt: skip

KINDS = "PNG JPEG BMP DIB TIFF WEBP JPEG2000 PPM GIF AVIF TGA SGI PCX ICO DDS QOI IM MSP ICNS MPO EPS XBM".split()


def every_kind_and_mode() -> Iterator[tuple[str, bytes | None]]:
    """Yield each format in each mode, as Pillow writes it without options, and each size in the common formats."""
    for kind in KINDS:
        for mode in MODES:
            yield f"{kind}/{mode}", pillow(in_mode(mode), kind)
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"):
        for height, width in SIZES:
            for mode in ("RGB", "L", "1", "P", "RGBA"):
                picture = in_mode(mode, colours(height, width))
                yield f"{kind}/{mode} {height} x {width}", pillow(picture, kind)


def orientations() -> Iterator[tuple[str, bytes | None]]:
    """Yield files with EXIF orientations, valid and invalid ones."""
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
        big_endian = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01" + struct.pack(
            ">HHI", turn, 0, 0
        )
        yield f"JPEG/EXIF {turn}, big-endian", pillow(in_mode("RGB"), "JPEG", exif=b"Exif\0\0" + big_endian)
        for mode, array in (("16-bit colour", deep(colours())), ("float", np.float32(colours()) / 255)):
            extra = [(274, 3, 1, turn, True)]
            yield f"TIFF/{mode}, EXIF {turn}", tiff(array, photometric="rgb", extratags=extra)
            yield (
                f"TIFF/8-bit colour, tiles, EXIF {turn}",
                tiff(colours(), photometric="rgb", tile=(32, 32), extratags=extra),
            )
            yield f"TIFF/{mode}, tiles, EXIF {turn}", tiff(array, photometric="rgb", tile=(32, 32), extratags=extra)


def webps() -> Iterator[tuple[str, bytes | None]]:
    """Yield lossy and lossless WebP files, with alpha, profiles, metadata and several frames."""
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
        yield (
            f"WEBP/animated {name}, lossless",
            pillow(picture, "WEBP", save_all=True, append_images=frames, lossless=True),
        )
        for size in ((64, 80), (33, 31), (1, 9)):
            picture = in_mode("RGB" if name == "colour" else "RGBA", colours(*size))
            yield f"WEBP/{name} {size[0]} x {size[1]}", pillow(picture, "WEBP", method=6)


def jpeg2000s() -> Iterator[tuple[str, bytes | None]]:
    """Yield JPEG 2000 files: reversible or not, in JP2 boxes or bare, with depths, layers, tiles, colour transforms."""
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
    yield "JPEG2000/signed", _jp2_signed(pillow(rgb, "JPEG2000", no_jp2=True, mct=0))


def _jp2_signed(codestream: bytes) -> bytes:
    """Return a JPEG 2000 codestream with signed components."""
    data = bytearray(codestream)
    for component in range(3):
        data[42 + 3 * component] |= 0x80  # Ssiz, after SOC and the fixed part of SIZ
    return bytes(data)


def others() -> Iterator[tuple[str, bytes | None]]:
    """Yield BMP, PNM, PAM, PFM, Sun raster, HDR, EXR, GIF and AVIF files of OpenCV and Pillow, and hand-made ones."""
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
            yield (
                f"PNM/OpenCV {suffix} ascii {array.ndim} {array.dtype}",
                opencv(suffix, array, cv2.IMWRITE_PXM_BINARY, 0),
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
    yield from uncompressed.bmps(image, alpha())
    yield from uncompressed.netpbms(image)
    yield from uncompressed.suns(image)
    yield from uncompressed.floats(image)
