"""Parity test `readers`: every kind of image file gives the pixels of the reference's cv2.imread, or a clear error."""

import io
import re
from collections import Counter, defaultdict

import cv2
import numpy as np
import pytest
from PIL import Image

from lib import corpus, reference_pixels
from lib.corpus.pictures import appearances, colours
from lib.tolerances import EXACT
from rankiqa import ImageError, read_image_with_notes
from rankiqa.data.photographs import read_photograph, turned

LEAST_RECORDED = 500  # files that another release of Pillow or OpenCV writes differently are not in a recording
# {part of the error: why read_image refuses files that the reference reads}; nobody scores such images
REFUSED_BY_US = {
    r"compressed with (LZMA|Zstandard|WebP)": "OpenCV's wheels contain a libtiff without this compression",
    r"uncompressed tiles that are not a multiple of 1 KiB": "libtiff 4.7.1 treats them as damaged",
    r"got PAM,": "the two OpenCV releases read different channels",
    r"a grey PFM": "the reference reads it as a 2-D array, at which upstream's code stops",
}
LOSSY = re.compile(
    r"(JPEG|MPO|WEBP|AVIF|GIF)/|JPEG2000/.*(layers|irreversible|x 80)|TIFF/(jpeg|PA$|webp)|.*YCbCr|BMP/16-bit"
    r"|.*premultiplied"
)
LOSSY_MEAN = 17  # of 255: chroma at half resolution, 256 colours, the lowest quality
# Modes and depths that the format lacks: the writer clips the values, and only the writer's library knows how
CUT_BY_THE_WRITER = re.compile(r"(GIF|AVIF|WEBP)/(I|F|I;16|OpenCV.*(16-bit|float).*)$")


@pytest.fixture(scope="module")
def files():
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    yield dict(corpus.files())
    cv2.utils.logging.setLogLevel(level)


@pytest.fixture(scope="module")
def reference(caffe, files):
    known = reference_pixels.read(caffe, files)
    assert len(known) > LEAST_RECORDED
    return known


@pytest.fixture(scope="module")
def ours(files, tmp_path_factory):
    """Return {name: (pixels RGB, notes) or the error message}."""
    folder, results = tmp_path_factory.mktemp("readers"), {}
    for i, (name, data) in enumerate(files.items()):
        path = folder / str(i)
        path.write_bytes(data)
        try:
            results[name] = read_image_with_notes(path)
        except ImageError as error:
            results[name] = str(error)
    return results


def _unequal(reference, read):
    """Count the files for which `read`, {name: RGB or None}, has other pixels than the reference."""
    return sum(
        known is not None and read.get(name) is not None and reference_pixels.digest(read[name][..., ::-1]) != known
        for name, known in reference.items()
    )


def test_pixels(parity, reference, ours):
    by_format, wrong = defaultdict(Counter), []
    for name, known in reference.items():
        kind, result = name.split("/")[0], ours[name]
        if isinstance(result, str):
            refused_by_us = any(re.search(reason, result) for reason in REFUSED_BY_US)
            outcome = "refused" if known is None or refused_by_us else "refused without a listed reason"
        elif known is None:
            outcome = "read, although the reference cannot read it"
        else:
            outcome = "equal" if reference_pixels.digest(result[0][..., ::-1]) == known else "unequal"
        by_format[kind][outcome] += 1
        if outcome not in ("equal", "refused"):
            wrong.append(f"{name}: {outcome}")
    for kind, counts in by_format.items():
        bad = counts.total() - counts["equal"] - counts["refused"]
        parity.check("readers", f"{kind}: {counts['equal']} equal, {counts['refused']} refused by name", bad, EXACT)
    total = sum(by_format.values(), Counter())
    print(f"{total.total()} files: {total['equal']} equal, 0 unequal, {total['refused']} refused by name")
    assert not wrong


def test_wrong_variants_are_caught(parity, files, reference, ours):
    """Today's OpenCV applies the EXIF orientation of PNG and WebP by default; channels in the wrong order differ."""
    for kind in ("PNG", "WEBP"):
        read = {}
        for name, data in files.items():
            if name.startswith(f"{kind}/") and not isinstance(ours[name], str):
                read[name] = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        parity.must_fail("readers", f"wrong: {kind}, EXIF orientation as of today", _unequal(reference, read), EXACT)
    swapped = {name: result[0][..., ::-1] for name, result in ours.items() if not isinstance(result, str)}
    parity.must_fail("readers", "wrong: BGR for RGB", _unequal(reference, swapped), EXACT)
    kept = {name: result[0] for name, result in ours.items() if not isinstance(result, str)}
    assert _unequal(reference, kept) == 0


def test_what_is_dropped_is_noted(ours):
    expected = {
        "PNG/RGBA": ("alpha dropped",), "PNG/16-bit colour of OpenCV": ("16 bits per channel: reduced to 8",),
        "PNG/ICC RGB": ("colour profile not applied",), "PNG/animated RGB": ("first of 2 frames",),
        "PNG/EXIF 6": ("EXIF orientation 6 not applied",), "WEBP/EXIF 3": ("EXIF orientation 3 not applied",),
        "TIFF/two pages": ("first of 2 pages",), "JPEG/ICC": ("colour profile not applied",),
        "JPEG/CMYK": ("CMYK converted without a colour profile",), "WEBP/lossless alpha": ("alpha dropped",),
        "TIFF/8-bit alpha": ("alpha multiplied into the colours",), "TIFF/ICC": ("colour profile not applied",),
        "JPEG2000/OpenCV 16-bit colour": ("16 bits per channel: reduced to 8",),
        "WEBP/colour, ICC": ("colour profile not applied",), "BMP/RGB": (), "WEBP/RGB": (), "PPM/RGB": (),
        "JPEG/two pictures (MPO)": ("first of several pictures (MPF)",), "JPEG2000/RGBA": ("alpha dropped",),
        "PNG/RGB": (), "PNG/L": (), "PNG/P": (), "JPEG/RGB": (), "JPEG/L": (), "JPEG/EXIF 6": (), "TIFF/RGB": (),
        "TIFF/RGBX": ("alpha dropped",), "GIF/RGB": None, "AVIF/RGB": None,
    }  # fmt: skip
    assert {name: None if isinstance(ours[name], str) else ours[name][1] for name in expected} == expected


def test_each_refusal_says_what_the_file_is(ours):
    for name, result in ours.items():
        if isinstance(result, str):
            assert re.match(r"expected [^\n]+ got [^\n]+$", result), (name, result)
    expected = {
        "GIF/RGB": "got GIF, which the original's reader does not read", "AVIF/RGB": "got AVIF",
        "WEBP/animated colour": "got an animated WebP", "TIFF/float colour": "a TIFF of 32 bits per channel",
        "TIFF/8-bit colour BigTIFF": "got BigTIFF", "JPEG/12-bit": "a JPEG of 12 bits per channel",
        "PNG/tEXt of 9 MB": "a tEXt chunk of 9437192 bytes", "JPEG2000/RGB, codestream": "without its boxes",
    }  # fmt: skip
    assert {name: ours[name] for name, words in expected.items() if words not in ours[name]} == {}


def _expected(name, height, width):
    """Return the pictures that a photograph of this name may show."""
    orientation = re.search(r"EXIF ([2-8])\b", name)
    if orientation and not name.startswith("JPEG2000/"):
        stored = (width, height) if int(orientation[1]) > 4 else (height, width)
        return [turned(seen, int(orientation[1])) for seen in appearances(*stored)]
    seen = appearances(height, width)
    largest = re.match(r"PNM/P\d up to (\d+)", name)
    if largest:
        most = int(largest[1])
        values = colours().astype(np.uint32) * most // 255 * 255 / most
        seen += [np.rint(values).astype(np.uint8), np.repeat(np.rint(values).astype(np.uint8)[..., 1:2], 3, 2)]
    return seen


def test_photographs(parity, files, ours):
    """Pixels are within rounding of the picture that was written (of its high byte), or the error is clear."""
    wrong, count = [], Counter()
    for name, data in files.items():
        try:
            pixels = read_photograph(data, min_side=1)
        except ImageError as error:
            assert re.match(r"expected [^\n]+ got [^\n]+$", str(error)), name
            count["refused"] += 1
            continue
        count["read"] += 1
        if CUT_BY_THE_WRITER.match(name):
            right = np.array_equal(pixels, Image.open(io.BytesIO(data)).convert("RGB"))
        else:
            errors = [np.abs(pixels.astype(int) - seen) for seen in _expected(name, *pixels.shape[:2])]
            right = min(error.max() for error in errors) <= 1
            right |= bool(LOSSY.match(name)) and min(error.mean() for error in errors) <= LOSSY_MEAN
            reader = ours[name][0] if not isinstance(ours[name], str) else None
            if not right and reader is not None and reader.shape == pixels.shape and not name.startswith("TIFF/"):
                right = np.abs(pixels.astype(int) - reader).max() <= 1  # unusual colours: the reference is right
        if not right:
            wrong.append(name)
    print(f"photographs: {count['read']} read, {count['refused']} refused by name; wrong: {wrong}")
    parity.check("readers", f"{count['read']} photographs, {count['refused']} refused by name", len(wrong), EXACT)
