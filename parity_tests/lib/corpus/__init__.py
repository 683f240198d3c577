"""Image files of every kind that people have, for the readers: generated, over 1,700, each some 40 pixels wide.

    for name, data in corpus.files(): ...      # name: "FORMAT/what is odd about it"

The library that writes most of a format writes it (Pillow, OpenCV, tifffile); what none of them writes is put together
from bytes.
"""

from collections.abc import Iterator

from lib.corpus import common, jpegs, pngs, tiffs


def files() -> Iterator[tuple[str, bytes]]:
    """(name, the file's bytes) of each file, without those that no library here writes. No two have one name."""
    seen = set()
    parts = (
        common.every_kind_and_mode, common.orientations, jpegs.jpegs, pngs.pngs, tiffs.tiffs, common.webps,
        common.jpeg2000s, common.others,
    )  # fmt: skip
    for part in parts:
        for name, data in part():
            if data is not None and name not in seen:
                seen.add(name)
                yield name, data
