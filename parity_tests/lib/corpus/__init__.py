"""Over 1,700 generated image files of every usual kind, some 40 pixels wide, to test the image readers with.

    for name, data in corpus.files(): ...      # name: "FORMAT/description"

The library that supports most of a format writes it (Pillow, OpenCV, tifffile). Files that none of them can write are
assembled from bytes.
"""

from collections.abc import Iterator

from lib.corpus import common, jpegs, pngs, tiffs


def files() -> Iterator[tuple[str, bytes]]:
    """Yield (unique name, the file's bytes) for each file that the installed libraries can write."""
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
