"""One HTML page, complete in itself, with every type and level of distortion on one photograph."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from html import escape

import cv2
import numpy as np
from PIL import Image

from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets.make_files import generator
from rankiqa.ranked_sets.names import output_name

LONG_SIDE = 512  # TID2013's pictures: blocks, patches and bits are counted a picture
CROP = 150, 200  # height, width
TITLES = {"live": "LIVE", "tid2013": "TID2013"}
MARKS = {
    "upstream": ("original", "made by the original's code"),
    "listed": ("listed", "in the original's lists, its code never makes it"),
    "ours": ("ours", "beyond the original; the parameters are our choice"),
}
STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f4f6f8;color:#1d2733;font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{padding:28px 28px 60px}
h1{font-size:27px;margin:0 0 6px}
h2{font-size:20px;margin:0 0 10px}
p{margin:6px 0 10px;max-width:78ch}
section{background:#fff;border:1px solid #e3e7ec;border-radius:10px;padding:20px 22px;margin:18px 0;overflow-x:auto}
.whole{max-width:100%;height:auto;border-radius:4px;display:block}
table{border-collapse:collapse}
th,td{padding:8px 8px 10px 0;text-align:left;vertical-align:top}
thead th{color:#66717f;font-size:14px;font-weight:600}
tbody tr{border-top:1px solid #e3e7ec}
tbody th{font-weight:400;font-size:13.5px;color:#3b4653;min-width:170px;max-width:200px;padding-right:16px}
tbody th b{display:block;font-size:16px;color:#1d2733}
figure{margin:0}
figure img,.pristine{width:200px;height:150px;display:block;border-radius:4px}
figcaption{font-size:12.5px;color:#3b4653;padding-top:3px;font-variant-numeric:tabular-nums;max-width:200px}
.mark{display:inline-block;font-size:12px;border-radius:9px;padding:0 8px;background:#e3e7ec;color:#3b4653}
tbody .mark{margin-top:5px}
.mark.ours{background:#fbe3c8;color:#7a4300}
.mark.listed{background:#dbe8fb;color:#173f7a}
"""


def fitted(image: np.ndarray) -> np.ndarray:
    """The image, scaled down (by area) where its longer side is above LONG_SIDE: uint8 (H, W, 3)."""
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def page(
    image: np.ndarray,
    title: str,
    sets: list[str],
    seed: int,
    progress: Callable[[], None],
    missing: Callable[[str], None],
) -> Iterator[str]:
    """The page, piece by piece.

    image: uint8 (H, W, 3) RGB. title: the photograph's file name; with the seed it decides what is random, as in
    `rankiqa distort`. sets: of DATASETS. progress: told of each picture made; missing: of each that could not be.
    """
    image = fitted(image)
    height, width = image.shape[:2]
    used = sorted({row.origin for name in sets for row in DATASETS[name].values()}, key=list(MARKS).index)
    yield f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Distortions of {escape(title)}</title>
<style>{STYLE}.pristine{{background:url({_data(_crop(image))})}}
</style>
</head>
<body>
<main>
<h1>Distortions of {escape(title)}</h1>
<p>A row a type, a column a level, mildest first; below each picture the parameter's value and the PSNR against the
pristine picture. Pictures show the middle, a pixel for a pixel, of the photograph at {width} x {height}; the
whole of it was distorted. Seed {seed}.</p>
<p>{"; ".join(f"{_mark(origin)} {MARKS[origin][1]}" for origin in used)}.</p>
<section>
<h2>Pristine</h2>
<img class="whole" src="{_data(image)}" alt="the photograph" width="{width}" height="{height}">
</section>
"""
    for name in sets:
        yield from _table(image, output_name(title), name, seed, progress, missing)
    yield "</main>\n</body>\n</html>\n"


def _table(image: np.ndarray, stem: str, name: str, seed: int, progress: Callable, missing: Callable) -> Iterator[str]:
    rows = DATASETS[name].values()
    most = max(len(row.levels) for row in rows)
    heads = "".join(f'<th scope="col">level {level}</th>' for level in range(1, most + 1))
    yield f'<section id="{name}">\n<h2>{TITLES.get(name, name)}: {len(rows)} types</h2>\n<table>\n<thead><tr>'
    yield f'<th scope="col">type</th><th scope="col">pristine</th>{heads}</tr></thead>\n<tbody>\n'
    for row in rows:
        number = f" · number {row.number}" if name == "tid2013" and row.number else ""
        yield f'<tr id="{name}-{escape(row.name)}"><th scope="row"><b>{escape(row.name)}</b>{escape(row.title)}{number}'
        yield f"<br>{escape(row.parameter)}<br>{_mark(row.origin)}</th>\n"
        yield '<td><div class="pristine" role="img" aria-label="pristine"></div></td>\n'
        for level, value in enumerate(row.levels, start=1):
            try:
                distorted = row.apply(image, value, generator(seed, stem, row.name, level))
            except ValueError as error:  # a package that is not installed
                missing(f"{row.name} level {level}: {error}")
                yield f"<td>not made: {escape(str(error))}</td>\n"
                continue
            yield f'<td><figure><img src="{_data(_crop(distorted))}" alt="{escape(row.title)}, level {level}">'
            yield f"<figcaption><b>{_value(value)}</b> · {_psnr(image, distorted)}</figcaption></figure></td>\n"
            progress()
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</section>\n"


def _mark(origin: str) -> str:
    return f'<span class="mark {origin}">{MARKS[origin][0]}</span>'


def _value(value: object) -> str:
    return escape(f"{value:g}" if isinstance(value, (int, float)) else str(value))


def _psnr(pristine: np.ndarray, distorted: np.ndarray) -> str:
    return "equal" if np.array_equal(pristine, distorted) else f"{cv2.PSNR(pristine, distorted):.1f} dB"


def _crop(image: np.ndarray) -> np.ndarray:
    """The middle of an image, at most CROP."""
    height, width = (min(side, most) for side, most in zip(image.shape, CROP))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _data(image: np.ndarray) -> str:
    """A picture as a data URI, PNG: lossless, or the page would show its own distortions."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
