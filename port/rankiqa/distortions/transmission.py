"""Transmission errors in a JPEG or JPEG 2000 file (JGTE, J2TE), types of TID2013 that upstream leaves out.

The coders and the numbers of errors are our choice. Source of the types: Ponomarenko et al., Image database TID2013:
peculiarities, results and perspectives, Signal Processing: Image Communication, 2015.
"""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
from PIL import Image

from rankiqa.distortions.compression import decode
from rankiqa.distortions.randint import randint_inclusive

QUALITY = 75  # for JPEG
INTERVAL = 1  # units of 16 x 16 pixels between two restart markers; limits the reach of an error
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
RATIO = 12  # compression ratio for JPEG 2000
PRECINCT, CODE_BLOCK = 64, 32
ROOMY = 32  # bytes; a packet of this size has more bits of code blocks than of its header


def _scan(data: bytes) -> tuple[int, int]:
    """Return the start and the end of the entropy-coded bytes of a baseline JPEG."""
    position = 2
    while data[position + 1] != 0xDA:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position + 2 + int.from_bytes(data[position + 2 : position + 4], "big"), data.rindex(b"\xff\xd9")


def jpeg_errors(image: np.ndarray, share: float, rng) -> np.ndarray:
    """Compress with JPEG at quality 75, invert a bit in this share of the restart intervals, and decode (JGTE, #12).

    An interval is one unit of 16 x 16 pixels. At least one interval is damaged.
    """
    settings = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_RST_INTERVAL, INTERVAL]
    data = cv2.imencode(".jpg", image[:, :, ::-1], settings)[1].tobytes()
    start, end = _scan(data)
    intervals = RESTART.split(data[start:end])
    order = np.argsort(rng.uniform(size=len(intervals)), kind="stable")
    for number in order[: max(1, round(share * len(intervals)))]:
        # The zero after each 0xff marks it as data: remove it before the error and insert it again after it
        bits = bytearray(intervals[number].replace(b"\xff\x00", b"\xff"))
        bit = randint_inclusive(rng, 0, 8 * len(bits) - 1)
        bits[bit // 8] ^= 1 << bit % 8
        intervals[number] = bytes(bits).replace(b"\xff", b"\xff\x00")
    scan = intervals[0]
    for number, interval in enumerate(intervals[1:]):
        scan += bytes([0xFF, 0xD0 + number % 8]) + interval
    return decode(data[:start] + scan + data[end:])


def _packets(data: bytes) -> tuple[int, list[int]]:
    """Return the start of the first packet in a codestream with PLT markers, and the lengths of the packets."""
    position, lengths = 2, []
    while data[position : position + 2] != b"\xff\x93":  # SOD: the packets follow
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position : position + 2] == b"\xff\x58":
            length = 0
            for byte in data[position + 5 : position + 2 + size]:
                length = length << 7 | byte & 127
                if byte < 128:
                    lengths.append(length)
                    length = 0
        position += 2 + size
    return position + 2, lengths


def jpeg2000_errors(image: np.ndarray, rate: float, rng) -> np.ndarray:
    """Compress with JPEG 2000 at a ratio of 12, invert bits of the code blocks, and decode (J2TE, #13).

    Errors are only in the second halves of packets of at least 32 bytes, since the picture could not be decoded with
    damaged headers. A picture without such a packet gets no errors.

    Args:
        image: uint8 (H, W, 3) RGB.
        rate: Bit errors per 10,000 pixels, at least one in all.
        rng: A numpy Generator.

    Raises:
        ValueError: Pillow's OpenJPEG is older than 2.4.
    """
    file = io.BytesIO()
    Image.fromarray(image).save(
        file,
        "JPEG2000",
        no_jp2=True,
        irreversible=True,
        mct=1,
        codeblock_size=(CODE_BLOCK, CODE_BLOCK),
        precinct_size=(PRECINCT, PRECINCT),
        quality_mode="rates",
        quality_layers=[RATIO],
        plt=True,
    )
    data = bytearray(file.getvalue())
    start, lengths = _packets(bytes(data))
    if not lengths:
        raise ValueError("distort: J2TE needs a Pillow with OpenJPEG 2.4 or newer, got one that writes no PLT markers")
    ends = start + np.cumsum(lengths)
    tails = [np.arange(end - size // 2, end) for size, end in zip(lengths, ends, strict=True) if size >= ROOMY]
    if tails:
        places = np.concatenate(tails)
        for _ in range(max(1, round(rate * image.shape[0] * image.shape[1] / 10_000))):
            bit = randint_inclusive(rng, 0, 8 * len(places) - 1)
            data[places[bit // 8]] ^= 1 << bit % 8
    return decode(bytes(data))
