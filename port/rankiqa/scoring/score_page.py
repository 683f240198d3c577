"""Scores as one page to look at: the images from worst to best; nothing is fetched. Needs the extra `pages`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
from rankiqa.data.image_sources import ImageSource
from rankiqa.data.images import ImageError, decode_image
from rankiqa.data.thumbnails import data_uri
from rankiqa.scoring.rows import Row

# (images at most, the longest side of each in pixels): a page stays below about 60 MB
SIDES = ((200, 480), (500, 320), (2_000, 160), (10_000, 96), (50_000, 48))
MOST = SIDES[-1][0]
AT_ONCE = 64  # images that are being read


def check_installed() -> None:
    """Raise ValueError where the package that makes the page is missing."""
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
        rows: Of `score_many`; of more than MOST with a score, the worst and the best halves of MOST are shown.
        sources: The images again, for their thumbnails.
        title: Of the page.
        lower_is_better: Whether a lower score means better quality; None (not known): high scores come first.

    Raises:
        ValueError: Where the extra `pages` is missing.
        OSError: Where the file cannot be written.
    """
    jinja2 = need("jinja2", "pages", "--page")
    scored = sorted(
        (row for row in rows if "score" in row),
        key=lambda row: (row["score"] if lower_is_better is False else -row["score"], row["path"]),
    )
    left_out = max(0, len(scored) - MOST)
    if left_out:
        scored = scored[: MOST // 2] + scored[-(MOST // 2) :]
    pictures = dict(_thumbnails(sources, {row["path"] for row in scored}, side_for(len(scored))))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rankiqa.scoring"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    words = {True: "lower is better", False: "higher is better", None: "not known which way; high scores come first"}
    stream = environment.get_template("score_page.html.j2").stream(
        title=title,
        direction=words[lower_is_better],
        images=[(row, pictures.get(row["path"], "")) for row in scored],
        errors=[row for row in rows if "error" in row],
        left_out=left_out,
    )
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors="replace") as file:
        stream.dump(file)


def side_for(images: int) -> int:
    """The longest side of a thumbnail, in pixels, on a page with that many."""
    return next((side for most, side in SIDES if images <= most), SIDES[-1][1])


def _thumbnails(sources: Iterable[ImageSource], wanted: set[str], side: int) -> Iterator[tuple[str, str]]:
    """(name, data URI) of each image that is wanted and can still be read."""
    chosen = (source for source in sources if source.name in wanted)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while some := list(islice(chosen, AT_ONCE)):
            yield from zip([source.name for source in some], pool.map(lambda s: _thumbnail(s, side), some), strict=True)


def _thumbnail(source: ImageSource, side: int) -> str:
    """A data URI; "" for an image that cannot be read any more."""
    try:
        pixels, _ = decode_image(source.read())
    except ImageError:
        return ""
    return data_uri(pixels, side)
