"""The report's charts, drawn by plotly, as HTML; a page needs plotly.js once and no other resources."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

COLOURS = {"GB": "#2f6db5", "GN": "#c2513a", "JPEG": "#c98a12", "JP2K": "#2f8f63", "pristine": "#444b55"}
GOOD, BAD = COLOURS["GB"], COLOURS["GN"]
INK, FAINT, GRID = "#1d2733", "#66717f", "#e3e7ec"
AXIS = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "ticks": "", "automargin": True}
FLOOR = 1e-8  # the left end of the bars


@dataclass(frozen=True)
class Series:
    """A series of a chart; its points are (x, y, text shown on hover)."""

    name: str
    colour: str
    points: list[tuple[float, float, str]]
    dashed: bool = False


def plotly_js() -> Markup:
    """Return the library plotly.js, for a <script> in the page."""
    return Markup(get_plotlyjs())


def _html(figure: go.Figure, name: str, height: int, top: int = 8) -> Markup:
    """Return a figure as HTML with the common layout."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 10, "r": 14, "t": top, "b": 10},
        font={"family": "system-ui, sans-serif", "size": 12, "color": FAINT},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        hoverlabel={"align": "left"},
    )
    options = {"displayModeBar": False, "responsive": True}
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=options))


def _finite(series: Series, positive: bool = False) -> list[tuple[float, float, str]]:
    """Return the points with finite (and, if required, positive) values."""
    return [p for p in series.points if math.isfinite(p[0] + p[1]) and (p[1] > 0 or not positive)]


def scatter(name: str, series: list[Series], x_title: str, y_title: str) -> Markup:
    """Draw the points of several series and the line y = x; `name` is the id of the chart in its page."""
    figure = go.Figure()
    values = [value for line in series for x, y, _ in _finite(line) for value in (x, y)]
    if not values:
        return Markup('<p class="note">Nothing to draw: the scores are not numbers.</p>')
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or max(abs(high), 1.0) * 0.04
    ends = [low - margin, high + margin]
    diagonal = {"color": FAINT, "dash": "dash", "width": 1}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=diagonal, hoverinfo="skip", showlegend=False)
    for line in series:
        x, y, notes = zip(*_finite(line)) if _finite(line) else ((), (), ())
        figure.add_scatter(
            x=x, y=y, text=notes, name=line.name, mode="markers", hovertemplate="%{text}<extra></extra>",
            marker={"color": line.colour, "size": 7, "opacity": 0.72},
        )  # fmt: skip
    figure.update_xaxes(title=x_title, range=ends, **AXIS)
    figure.update_yaxes(title=y_title, range=ends, **AXIS)
    return _html(figure, name, 430)


def lines(name: str, series: list[Series], x_title: str, y_title: str) -> Markup:
    """Draw curves with a logarithmic y axis; values that are not positive are not drawn."""
    figure = go.Figure()
    drawn = [line for line in series if _finite(line, positive=True)]
    if not drawn:
        return Markup('<p class="note">Nothing to draw.</p>')
    for line in drawn:
        x, y, _ = zip(*_finite(line, positive=True))
        figure.add_scatter(
            x=x, y=y, name=line.name, mode="lines+markers" if line.dashed else "lines", showlegend=True,
            line={"color": line.colour, "width": 2.2, "dash": "dash" if line.dashed else "solid"},
        )  # fmt: skip
    figure.update_xaxes(title=x_title, **AXIS)
    figure.update_yaxes(title=y_title, type="log", dtick="D2", tickformat="~g", **AXIS)
    return _html(figure, name, 340)


def bars(name: str, values: dict[str, float], limit: float) -> Markup:
    """Draw a bar for each name on a logarithmic scale from FLOOR, and the limit as a line; zero has no bar."""
    most = max([limit * 3, *[value for value in values.values() if math.isfinite(value)]])
    lengths = [max(value, FLOOR) if math.isfinite(value) else most for value in values.values()]
    colours = [GOOD if value <= limit else BAD for value in values.values()]
    figure = go.Figure()
    figure.add_bar(
        x=lengths, y=list(values), orientation="h", marker={"color": colours}, cliponaxis=False,
        text=[f"{value:.1e}" for value in values.values()], textposition="outside",
        hovertemplate="%{y}: %{text}<extra></extra>", showlegend=False,
    )  # fmt: skip
    figure.add_vline(x=limit, line={"color": BAD, "dash": "dash", "width": 1})
    figure.add_annotation(  # on a logarithmic axis, plotly expects the logarithm as the position of a text
        x=math.log10(limit), y=1, yref="paper", yanchor="bottom", text=f"limit {limit:g}", showarrow=False,
        font={"color": BAD, "size": 11},
    )  # fmt: skip
    ends = [math.log10(FLOOR), math.log10(most) + 0.4]
    figure.update_xaxes(type="log", range=ends, dtick=1, exponentformat="e", **AXIS)
    figure.update_yaxes(autorange="reversed", **AXIS | {"gridcolor": "white", "ticklabelstandoff": 6})
    return _html(figure, name, 26 * len(values) + 80, top=24)
