"""Errors on the way of a JPEG or JPEG 2000 file (JGTE, J2TE), types of TID2013 that upstream leaves out.

The coders, and how many errors there are, are our choice. Source of what they are: Ponomarenko et al., Image database
TID2013: peculiarities, results and perspectives, Signal Processing: Image Communication, 2015.
"""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
from PIL import Image

from rankiqa.distortions.compression import decode
from rankiqa.distortions.randint import randint_inclusive

QUALITY = 75  # JPEG's
INTERVAL = 1  # units of 16 x 16 pixels between two restart markers: as far as an error reaches
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
RATIO = 12  # JPEG 2000's compression
PRECINCT, CODE_BLOCK = 64, 32
ROOMY = 32  # bytes of a packet that surely has more of its code blocks' bits than of its header's


def _scan(data: bytes) -> tuple[int, int]:
    """Where the entropy-coded bytes of a baseline JPEG start and end."""
    at = 2
    while data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"), data.rindex(b"\xff\xd9")


def jpeg_errors(image: np.ndarray, share: float, rng) -> np.ndarray:
    """JPEG at quality 75, a bit inverted in this share of its restart intervals, decoded (JGTE, #12).

    An interval is one unit of 16 x 16 pixels; at least one is hit.
    """
    settings = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_RST_INTERVAL, INTERVAL]
    data = cv2.imencode(".jpg", image[:, :, ::-1], settings)[1].tobytes()
    start, end = _scan(data)
    intervals = RESTART.split(data[start:end])
    order = np.argsort(rng.uniform(size=len(intervals)), kind="stable")
    for number in order[: max(1, round(share * len(intervals)))]:
        # The zero behind each 0xff says that it is no marker: off before the error, on again after it
        bits = bytearray(intervals[number].replace(b"\xff\x00", b"\xff"))
        bit = randint_inclusive(rng, 0, 8 * len(bits) - 1)
        bits[bit // 8] ^= 1 << bit % 8
        intervals[number] = bytes(bits).replace(b"\xff", b"\xff\x00")
    scan = intervals[0]
    for number, interval in enumerate(intervals[1:]):
        scan += bytes([0xFF, 0xD0 + number % 8]) + interval
    return decode(data[:start] + scan + data[end:])


def _packets(data: bytes) -> tuple[int, list[int]]:
    """Where the first packet of a codestream with PLT markers starts, and the packets' lengths."""
    at, lengths = 2, []
    while data[at : at + 2] != b"\xff\x93":  # SOD: the packets follow
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at : at + 2] == b"\xff\x58":
            length = 0
            for byte in data[at + 5 : at + 2 + size]:
                length = length << 7 | byte & 127
                if byte < 128:
                    lengths.append(length)
                    length = 0
        at += 2 + size
    return at + 2, lengths


def jpeg2000_errors(image: np.ndarray, rate: float, rng) -> np.ndarray:
    """JPEG 2000 at a ratio of 12, bits of its code blocks inverted, decoded (J2TE, #13).

    The errors fall into the second halves of packets of at least 32 bytes: headers arrive whole, or there would be no
    picture. A picture that has no such packet has no errors.

    Args:
        image: uint8 (H, W, 3) RGB.
        rate: Bit errors per 10,000 pixels, at least one in all.
        rng: A numpy Generator.

    Raises:
        ValueError: When Pillow's OpenJPEG is older than 2.4.
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
    halves = [np.arange(end - size // 2, end) for size, end in zip(lengths, ends, strict=True) if size >= ROOMY]
    if halves:
        places = np.concatenate(halves)
        for _ in range(max(1, round(rate * image.shape[0] * image.shape[1] / 10_000))):
            bit = randint_inclusive(rng, 0, 8 * len(places) - 1)
            data[places[bit // 8]] ^= 1 << bit % 8
    return decode(bytes(data))
