"""Write an HTML page with the images from worst to best.

The page loads nothing from a network. Needs the extra `pages`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, tee

from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
from rankiqa.data.image_sources import ImageSource
from rankiqa.data.images import ImageError, decode_image
from rankiqa.data.thumbnails import data_uri
from rankiqa.scoring.rows import Row

# (largest number of images, longest side of each thumbnail in pixels); keeps a page below about 60 MB.
SIDES = ((200, 480), (500, 320), (2_000, 160), (10_000, 96), (50_000, 48))
MOST = SIDES[-1][0]
AT_ONCE = 64  # number of images that are read at the same time
Key = tuple[str, int]


def check_installed() -> None:
    """Raise ValueError if the package that renders the page is missing."""
    need("jinja2", "pages", "--page")


def write(
    path: str | os.PathLike,
    rows: Sequence[Row],
    sources: Iterable[ImageSource],
    *,
    title: str,
    lower_is_better: bool | None,
) -> None:
    """Write the page.

    Args:
        path: The file, .html.
        rows: Rows from `score_many`, in the order of the images. If more than MOST have a score, the page shows the
            worst and the best MOST / 2.
        sources: The images again, for their thumbnails.
        title: The title of the page.
        lower_is_better: Whether a lower score means better quality; None (not known): high scores come first.

    Raises:
        ValueError: The extra `pages` is missing.
        OSError: The file cannot be written.
    """
    jinja2 = need("jinja2", "pages", "--page")
    keys = _numbered(row["path"] for row in rows)
    scored = sorted(
        ((row, key) for row, key in zip(rows, keys, strict=True) if "score" in row),
        key=lambda pair: (pair[0]["score"] if lower_is_better is False else -pair[0]["score"], pair[1]),
    )
    left_out = max(0, len(scored) - MOST)
    if left_out:
        scored = scored[: MOST // 2] + scored[-(MOST // 2) :]
    pictures = dict(_thumbnails(sources, {key for _, key in scored}, side_for(len(scored))))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rankiqa.scoring"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    directions = {True: "lower is better", False: "higher is better", None: "direction unknown, high scores come first"}
    stream = environment.get_template("score_page.html.j2").stream(
        title=title,
        direction=directions[lower_is_better],
        images=[(row, pictures.get(key, "")) for row, key in scored],
        errors=[row for row in rows if "error" in row],
        left_out=left_out,
    )
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors="replace") as file:
        stream.dump(file)


def side_for(images: int) -> int:
    """Return the longest side in pixels of the thumbnails on a page with `images` images."""
    return next((side for most, side in SIDES if images <= most), SIDES[-1][1])


def _numbered(names: Iterable[str]) -> Iterator[Key]:
    """Yield (name, number of times that it has occurred so far), since members of an archive may share a name."""
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name, seen[name]


def _thumbnails(sources: Iterable[ImageSource], wanted: set[Key], side: int) -> Iterator[tuple[Key, str]]:
    """Yield (key, data URI) of each wanted image. Images of one name are in the order of their rows."""
    first, second = tee(sources)
    keys = _numbered(source.name for source in first)
    chosen = ((key, source) for key, source in zip(keys, second, strict=True) if key in wanted)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(islice(chosen, AT_ONCE)):
            yield from zip(
                [key for key, _ in batch], pool.map(lambda pair: _thumbnail(pair[1], side), batch), strict=True
            )


def _thumbnail(source: ImageSource, side: int) -> str:
    """Return the thumbnail as a data URI, or "" if the image can no longer be read."""
    try:
        pixels, _ = decode_image(source.read())
    except ImageError:
        return ""
    return data_uri(pixels, side)
