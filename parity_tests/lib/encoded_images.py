"""A small image in each format that read_image reads, for the tests of reading."""

import io

FORMATS = {  # name: (suffix, Pillow's options)
    "JPEG": ("jpg", {}), "progressive": ("jpg", {"progressive": True}), "PNG": ("png", {}), "BMP": ("bmp", {}),
    "TIFF": ("tif", {}), "LZW": ("tiff", {"compression": "tiff_lzw"}), "WEBP": ("webp", {}), "PPM": ("ppm", {}),
    "JPEG2000": ("jp2", {}),
}  # fmt: skip


def encoded(picture, form, **options):
    """Return the bytes of a Pillow image in Pillow's format `form`."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def pillow_format(name):
    """Return Pillow's name of a format in FORMATS."""
    return {"progressive": "JPEG", "LZW": "TIFF"}.get(name, name)
