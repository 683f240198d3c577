"""An experiment as one self-contained page: figures with their CSV files, tables, images; nothing is fetched."""

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
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")  # so that curves differ in grey print, too
SIDE = 320  # longest side of an image on the page, pixels
AXIS = {"gridcolor": "#e3e7ec", "zeroline": False, "linecolor": "#66717f", "automargin": True}
HEADINGS = {"srocc": "SROCC", "lcc": "LCC", "tid2013": "TID2013", "vgg16": "VGG-16", "std": "std."}
PAGE = "index.html"
VERDICTS = "verdicts.csv"  # beside each page: what the index over experiments shows of it


@dataclass(frozen=True)
class Figure:
    """A plotly figure.

    Attributes:
        name: Its id in the page.
        caption: What it shows.
        csv: The files, by spaces, that its numbers are in.
        data: Traces; a point's `customdata` is a key of the page's images.
        layout: Beyond what all have.
    """

    name: str
    caption: str
    csv: str
    data: list[dict]
    layout: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file that the page repeats."""

    caption: str
    csv: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


class Verdict(NamedTuple):
    """Whether this run shows a claim, the sentence that says so, and the files, by spaces, that its numbers are in."""

    shown: bool
    text: str
    csv: str


@dataclass(frozen=True)
class Page:
    """What an experiment's page shows.

    Attributes:
        title: Of the page.
        summary: Paragraphs: what was done.
        verdicts: One of each claim.
        figures: In order.
        tables: In order.
        images: {key: (path, text)} of what a click shows.
    """

    title: str
    summary: Sequence[str]
    verdicts: Sequence[Verdict]
    figures: Sequence[Figure]
    tables: Sequence[Table] = ()
    images: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def check_installed() -> None:
    """Raise ValueError where the packages that draw the page are missing."""
    for package in ("jinja2", "plotly"):
        need(package, "pages", "experiment")


def write(out: Path, page: Page) -> None:
    """Write OUT/index.html and OUT/verdicts.csv. Raises OSError where they cannot be written."""
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
        plotly=Markup(plotly.offline.get_plotlyjs()),  # plotly's own code, not to be escaped
    )
    with replacing(out / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def rendered(template: str, **values: Any) -> str:
    """A template of this package, filled in."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rankiqa.experiments"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"cell": cell, "heading": heading}
    return environment.get_template(template).render(**values)


def layout_of(figure: Figure) -> dict:
    """A figure's layout with what all figures have."""
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
    """A curve with a mark at each measurement."""
    line = {"color": COLOURS[colour % len(COLOURS)], "width": 2, **more.pop("line", {})}
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": list(x), "y": list(y), "line": line,
        "marker": {"size": 7, "symbol": SYMBOLS[colour % len(SYMBOLS)]}, **more,
    }  # fmt: skip


def image_key(row: Mapping[str, Any]) -> str:
    """The key of a line's image: a pristine photograph is a line of each distortion, at other crops."""
    return f"{row['type']} {row['path']}"


def plain(name: str) -> str:
    """A file's name as plotly shows it: it reads a few tags."""
    return name.replace("&", "&amp;").replace("<", "&lt;")


def decimals(value: float | None) -> str:
    """A correlation in a sentence."""
    return "not defined" if value is None else f"{value:.3f}"


def heading(column: str) -> str:
    """A column's name as the head of a table has it."""
    words = [HEADINGS.get(word, word) for word in column.split("_")]
    return " ".join(words)


def cell(value: object) -> str:
    """A value of a table: numbers with four digits."""
    if value is None or value == "":
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _picture(path: str) -> str:
    try:
        return data_uri(read_image(path), SIDE)
    except ImageError:
        return ""
