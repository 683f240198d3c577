"""Write an evaluation as one HTML page: scores against opinions by distortion type, with the images.

It loads nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
from rankiqa.data.images import ImageError, read_image
from rankiqa.data.thumbnails import data_uri
from rankiqa.evaluation.agreement import MEASURES
from rankiqa.evaluation.evaluation import Evaluation, arrays
from rankiqa.evaluation.scored_images import ScoredImage
from rankiqa.metrics import LogisticFit

SIDE, SMALL_SIDE = 480, 160  # longest side of an image on the page in pixels, and that on a page of many images
MANY = 500  # above this number the images are small; keeps a page below about 20 MB
CURVE_POINTS = 200
# Colours of the distortion types in order. A type has the same colour in every plot.
COLOURS = ("#2f6db5", "#c2513a", "#c98a12", "#2f8f63", "#7a4fa3", "#444b55", "#1a9fb0", "#b8478f", "#7d8c1f", "#8a5a3c")
TEMPLATES = Path(__file__).parent / "templates"


def check_installed() -> None:
    """Raise ValueError if a package that renders the page is missing."""
    for package in ("jinja2", "plotly"):
        need(package, "pages", "--page")


def write(path: str | os.PathLike, evaluation: Evaluation, summary: dict) -> None:
    """Write the page.

    Args:
        path: The file, .html.
        evaluation: The evaluation.
        summary: The content of `rankiqa evaluate --json`, with list, crops and seed.

    Raises:
        ValueError: The extra `pages` is missing.
        OSError: The file cannot be written.
    """
    check_installed()
    import jinja2
    import plotly.offline

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["cell"] = _cell
    text = environment.get_template("evaluation.html.j2").render(
        title=f"Evaluation of {Path(summary['list']).name}",
        summary={"weights": None, "errors": [], **summary},
        direction=_direction(summary),
        columns=("n", *MEASURES),
        rows=[("all", summary), *summary["by_type"].items()],  # "all" may also be the name of a type
        interval_rows=_interval_rows(summary),
        images=_pictures(evaluation.images),
        figures=_figures(evaluation),
        plotly=_script(plotly.offline.get_plotlyjs()),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def _script(text: str):
    from markupsafe import Markup

    return Markup(text)  # plotly's own code, which must not be escaped


def _direction(summary: dict) -> str:
    directions = {True: "lower is better", False: "higher is better", None: "direction unknown"}
    label = directions[summary["label_lower_is_better"]]
    return f"Scores: {directions[summary['lower_is_better']]}; opinions: {label}."


def _interval_rows(summary: dict) -> dict[str, dict]:
    if "intervals" not in summary:
        return {}
    bootstrap = summary["bootstrap"]
    return {
        f"{100 * bootstrap['confidence']:g}% {end}": {
            name: summary["intervals"].get(name, [None, None])[i] for name in MEASURES
        }
        for i, end in enumerate(("from", "to"))
    }


def _cell(value: float | int | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"


def _pictures(images: Sequence[ScoredImage]) -> list[dict]:
    """Return the text and the thumbnail of each image."""
    side = SIDE if len(images) <= MANY else SMALL_SIDE
    pictures = []
    for image in images:
        distortion = f", {image.type}" if image.type else ""
        text = f"{image.path}{distortion}: score {image.score:.4f}, opinion {image.label:g}"
        pictures.append({"text": text, "thumbnail": _thumbnail(image.path, side)})
    return pictures


def _thumbnail(path: str, side: int) -> str:
    """Return the thumbnail as a data URI, or "" if the image can no longer be read."""
    try:
        return data_uri(read_image(path), side)
    except ImageError:
        return ""


def _figures(evaluation: Evaluation) -> list[dict]:
    """Return plotly figures as {"id", "data", "layout"}: one of all images, and one per type."""
    places: dict[str, list[int]] = {}
    for place, image in enumerate(evaluation.images):
        places.setdefault(image.type, []).append(place)
    types = sorted(places)
    colours = {kind: COLOURS[number % len(COLOURS)] for number, kind in enumerate(types)}
    everything = [
        trace for kind in types for trace in _points(evaluation.images, places[kind], kind or "images", colours[kind])
    ]
    scores = arrays(evaluation.images)[0]
    figures = [_figure("all", "", [*everything, *_curve(evaluation.fit, scores, "logistic fit")])]
    for number, kind in enumerate(kind for kind in types if kind):
        traces = _points(evaluation.images, places[kind], kind, colours[kind])
        traces += _curve(evaluation.by_type[kind].fit, scores[places[kind]], "logistic fit")
        figures.append(_figure(f"type{number}", kind, traces, legend=False))
    return figures


def _points(images: Sequence[ScoredImage], places: Sequence[int], name: str, colour: str) -> list[dict]:
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": _text(name),
            "marker": {"color": colour, "size": 7, "opacity": 0.8},
            "x": [images[i].score for i in places],
            "y": [images[i].label for i in places],
            "text": [_text(os.path.basename(images[i].path)) for i in places],
            "customdata": list(places),
            "hovertemplate": "%{text}<br>score %{x:.4f}, opinion %{y:.4g}<extra></extra>",
        }
    ]


def _text(name: str) -> str:
    """Escape a name for plotly, which interprets some tags."""
    return name.replace("&", "&amp;").replace("<", "&lt;")


def _curve(fit: LogisticFit | None, scores: np.ndarray, name: str) -> list[dict]:
    if fit is None:
        return []
    x = np.linspace(scores.min(), scores.max(), CURVE_POINTS)
    line = {"color": "#1d2733", "width": 2}
    return [
        {"type": "scatter", "mode": "lines", "name": name, "x": x.tolist(), "y": fit(x).tolist(), "line": line,
         "hoverinfo": "skip"}
    ]  # fmt: skip


def _figure(name: str, title: str, traces: list[dict], legend: bool = True) -> dict:
    axis = {"gridcolor": "#e3e7ec", "zeroline": False, "linecolor": "#66717f", "automargin": True}
    layout = {
        "title": {"text": _text(title)},
        "xaxis": {"title": {"text": "score"}, **axis},
        "yaxis": {"title": {"text": "opinion"}, **axis},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1d2733"},
        "margin": {"l": 50, "r": 10, "t": 35, "b": 45},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "showlegend": legend,
    }
    return {"id": name, "data": traces, "layout": layout}
