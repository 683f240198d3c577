"""Detect the format of an image file and read its header."""

from __future__ import annotations

import struct

from rankiqa.data.headers import jpeg, jpeg2000, plain, png, tiff, webp
from rankiqa.data.headers.header import CutOff, Header, ImageError

# Formats that the original's reader (OpenCV 4.5.1) does not read, or that current OpenCV reads differently
_OTHERS = {
    "GIF": (b"GIF87a", b"GIF89a"), "BigTIFF": tiff.BIG, "PAM": (b"P7\n", b"P7 "), "OpenEXR": (b"\x76\x2f\x31\x01",),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "), "Photoshop": (b"8BPS",), "PDF": (b"%PDF",), "QOI": (b"qoif",),
    "DDS": (b"DDS ",), "icon": (b"\0\0\1\0", b"icns"), "SVG": (b"<svg",), "EPS": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "SGI": (b"\x01\xda",), "PCX": (b"\x0a\x05\x01", b"\x0a\x03\x01"), "MATLAB file": (b"MATLAB 5.0",),
}  # fmt: skip
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}


def inspect(data: bytes) -> Header:
    """Read the header of an image file without decoding the image.

    Args:
        data: The whole file.

    Raises:
        ImageError: If the format is unknown or the file is truncated.
    """
    try:
        return _header(data)
    except (CutOff, struct.error, IndexError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            "expected a whole image, got a corrupt or truncated one (the file ends before its header says so)"
        ) from None


def _header(data: bytes) -> Header:
    if data.startswith(png.SIGNATURE):
        return png.read(data)
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.read(data)
    if webp.is_webp(data):
        return webp.read(data)
    if data.startswith(tiff.SIGNATURES):
        return tiff.read(data)
    if data.startswith((jpeg2000.SIGNATURE, jpeg2000.CODESTREAM)):
        return jpeg2000.read(data)
    if data.startswith(b"BM"):
        return plain.bmp(data)
    if plain.is_netpbm(data):
        return plain.netpbm(data)
    if data.startswith((b"PF\n", b"Pf\n", b"PF ", b"Pf ", b"PF\r", b"Pf\r")):
        return plain.pfm(data)
    if data.startswith(plain.HDR):
        return plain.hdr(data)
    if data.startswith(plain.SUN):
        return plain.sun(data)
    kind = _other(data)
    if kind:
        reader = "current OpenCV reads differently" if kind == "PAM" else "the original's reader does not read"
        return Header(kind, refused=f"{kind}, which {reader}")
    raise ImageError("expected an image, got another kind of file")


def _other(data: bytes) -> str | None:
    for kind, beginnings in _OTHERS.items():
        if data.startswith(beginnings):
            return kind
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "a film or picture container (ISO media)")
    return "DICOM" if data[128:132] == b"DICM" else None
