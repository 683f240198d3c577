"""Write an experiment as one self-contained page: figures with their CSV files, tables and images. It loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
from rankiqa.data.images import ImageError, read_image
from rankiqa.data.thumbnails import data_uri
from rankiqa.experiments.csv_tables import write_csv

COLOURS = ("#2f6db5", "#c2513a", "#c98a12", "#2f8f63", "#7a4fa3", "#444b55")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")  # curves must also differ in greyscale print
SIDE = 320  # longest side of an image on the page, in pixels
AXIS = {"gridcolor": "#e3e7ec", "zeroline": False, "linecolor": "#66717f", "automargin": True}
HEADINGS = {"srocc": "SROCC", "lcc": "LCC", "tid2013": "TID2013", "vgg16": "VGG-16", "std": "std."}
PAGE = "index.html"
VERDICTS = "verdicts.csv"  # beside each page; the index page of experiments reads it


@dataclass(frozen=True)
class Figure:
    """A plotly figure.

    Attributes:
        name: The id of the figure in the page.
        caption: The caption.
        csv: The names of the files with its numbers, separated by spaces.
        data: The traces. The `customdata` of a point is a key of the page's images.
        layout: Settings in addition to those of all figures.
    """

    name: str
    caption: str
    csv: str
    data: list[dict]
    layout: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of the page, with rows of a CSV file."""

    caption: str
    csv: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


class Verdict(NamedTuple):
    """Whether a run shows a claim, a sentence about it, and the names of the files with its numbers, separated by
    spaces."""

    shown: bool
    text: str
    csv: str


@dataclass(frozen=True)
class Page:
    """The content of an experiment's page.

    Attributes:
        title: The title.
        summary: Paragraphs that describe the experiment.
        verdicts: One verdict per claim.
        figures: The figures in order.
        tables: The tables in order.
        images: {key: (path, text)} of the images that a click shows.
    """

    title: str
    summary: Sequence[str]
    verdicts: Sequence[Verdict]
    figures: Sequence[Figure]
    tables: Sequence[Table] = ()
    images: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def check_installed() -> None:
    """Raise ValueError if a package that renders the page is missing."""
    for package in ("jinja2", "plotly"):
        need(package, "pages", "experiment")


def write(out: Path, page: Page) -> None:
    """Write OUT/index.html and OUT/verdicts.csv.

    Args:
        out: The folder OUT.
        page: The content.

    Raises:
        OSError: A file cannot be written.
    """
    import plotly.offline
    from markupsafe import Markup

    rows = [{"title": page.title, **verdict._asdict()} for verdict in page.verdicts]
    write_csv(out / VERDICTS, ("title", *Verdict._fields), rows)
    text = rendered(
        "experiment.html.j2",
        page=page,
        figures=[{"id": figure.name, "data": figure.data, "layout": layout_of(figure)} for figure in page.figures],
        images={key: {"text": text, "path": path} for key, (path, text) in page.images.items()},
        pictures={path: _picture(path) for path in dict.fromkeys(path for path, _ in page.images.values())},
        plotly=Markup(plotly.offline.get_plotlyjs()),  # plotly's own code, which must not be escaped
    )
    with replacing(out / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def rendered(template: str, **values: Any) -> str:
    """Render a template of this package."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rankiqa.experiments"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"cell": cell, "heading": heading}
    return environment.get_template(template).render(**values)


def layout_of(figure: Figure) -> dict:
    """Return a figure's layout, merged with the settings of all figures."""
    own = dict(figure.layout)
    axes = {key: {**AXIS, **own.pop(key)} for key in list(own) if key.startswith(("xaxis", "yaxis"))}
    return {
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1d2733"},
        "margin": {"l": 60, "r": 12, "t": 12, "b": 50},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        **own,
        **axes,
    }


def lines(name: str, x: Sequence[float], y: Sequence[float], colour: int, **more: Any) -> dict:
    """Return a plotly trace: a curve with a mark at each measurement."""
    line = {"color": COLOURS[colour % len(COLOURS)], "width": 2, **more.pop("line", {})}
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": list(x), "y": list(y), "line": line,
        "marker": {"size": 7, "symbol": SYMBOLS[colour % len(SYMBOLS)]}, **more,
    }  # fmt: skip


def image_key(row: Mapping[str, Any]) -> str:
    """Return the key of a line's image. The type is part of it: each distortion lists a pristine photograph again."""
    return f"{row['type']} {row['path']}"


def plain(name: str) -> str:
    """Escape a file name for plotly, which interprets some tags."""
    return name.replace("&", "&amp;").replace("<", "&lt;")


def decimals(value: float | None) -> str:
    """Format a correlation for a sentence."""
    return "not defined" if value is None else f"{value:.3f}"


def heading(column: str) -> str:
    """Format a column's name for the head of a table."""
    words = [HEADINGS.get(word, word) for word in column.split("_")]
    return " ".join(words)


def cell(value: object) -> str:
    """Format a value of a table; numbers get four digits."""
    if value is None or value == "":
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _picture(path: str) -> str:
    try:
        return data_uri(read_image(path), SIDE)
    except ImageError:
        return ""
