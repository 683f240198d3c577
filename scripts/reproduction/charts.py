"""Charts as inline SVG: points, lines and bars, nothing from outside."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

COLOURS = {"GB": "#2f6db5", "GN": "#c2513a", "JPEG": "#c98a12", "JP2K": "#2f8f63", "pristine": "#444b55"}
INK, FAINT, GRID = "#1d2733", "#66717f", "#e3e7ec"
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 44


@dataclass(frozen=True)
class Series:
    """points: (x, y, what the mouse shows or "")."""

    name: str
    colour: str
    points: list[tuple[float, float, str]]
    dashed: bool = False


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between low and high."""
    raw = (high - low) / most
    step = 10 ** math.floor(math.log10(raw))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= raw)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or max(abs(high), 1.0) * 0.04
    return low - margin, high + margin


def _finite(series: list[Series]) -> list[Series]:
    return [
        Series(one.name, one.colour, [p for p in one.points if math.isfinite(p[0] + p[1])], one.dashed)
        for one in series
    ]


class _Frame:
    """Axes and the map from values to the picture."""

    def __init__(self, width: int, height: int, x: tuple[float, float], y: tuple[float, float], log_y: bool = False):
        self.width, self.height, self.x_range, self.log_y = width, height, x, log_y
        self.y_range = (math.log10(y[0]), math.log10(y[1])) if log_y else y

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        value = math.log10(value) if self.log_y else value
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - TOP - BOTTOM)

    def axes(self, x_title: str, y_title: str) -> str:
        parts = []
        if self.log_y:
            low, high = self.y_range
            powers = range(math.floor(low), math.floor(high) + 1)
            steps = (1, 2, 5) if high - low < 2 else (1,)
            ys = [step * 10.0**n for n in powers for step in steps if low <= math.log10(step) + n <= high]
        else:
            ys = _ticks(*self.y_range)
        for value in ys:
            at = self.y(value)
            parts.append(f'<line x1="{LEFT}" x2="{self.width - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="{GRID}"/>')
            parts.append(f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{value:.6g}</text>')
        for value in _ticks(*self.x_range):
            at = self.x(value)
            parts.append(f'<text x="{at:.1f}" y="{self.height - BOTTOM + 17}" text-anchor="middle">{value:.6g}</text>')
        middle = (self.height - BOTTOM + TOP) / 2
        parts.append(
            f'<text class="t" x="{(self.width + LEFT) / 2}" y="{self.height - 7}" text-anchor="middle">{x_title}</text>'
        )
        parts.append(
            f'<text class="t" transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{y_title}</text>'
        )
        return "".join(parts)


def _svg(width: int, height: int, body: str, label: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label)}">{body}</svg>'


def legend(series: list[Series]) -> str:
    """The names of the series, as HTML."""
    keys = "".join(
        f'<span><i style="background:{one.colour}"></i>{html.escape(one.name)}</span>' for one in series if one.name
    )
    return f'<div class="legend">{keys}</div>'


def scatter(series: list[Series], x_title: str, y_title: str) -> str:
    """Points, and the line y = x."""
    series = _finite(series)
    values = [value for one in series for x, y, _ in one.points for value in (x, y)]
    if not values:
        return '<p class="note">Nothing to draw: the scores are not numbers.</p>'
    frame = _Frame(480, 400, _range(values), _range(values))
    low, high = frame.x_range
    body = frame.axes(x_title, y_title)
    body += (
        f'<line x1="{frame.x(low):.1f}" y1="{frame.y(low):.1f}" x2="{frame.x(high):.1f}" y2="{frame.y(high):.1f}" '
        f'stroke="{FAINT}" stroke-dasharray="4 4"/>'
    )
    for one in series:
        for x, y, note in one.points:
            body += (
                f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3.6" fill="{one.colour}" fill-opacity=".72">'
                f"<title>{html.escape(note)}</title></circle>"
            )
    return _svg(480, 400, body, f"{y_title} against {x_title}") + legend(series)


def lines(series: list[Series], x_title: str, y_title: str, log_y: bool = False) -> str:
    """Curves; where y is logarithmic, values that are not positive are left out."""
    series = _finite(series)
    if log_y:
        series = [Series(s.name, s.colour, [p for p in s.points if p[1] > 0], s.dashed) for s in series]
    points = [point for one in series for point in one.points]
    if not points:
        return '<p class="note">Nothing to draw.</p>'
    ys = [y for _, y, _ in points]
    y_range = (min(ys) / 1.3, max(ys) * 1.3) if log_y else _range(ys)
    frame = _Frame(480, 300, _range([x for x, _, _ in points]), y_range, log_y)
    body = frame.axes(x_title, y_title)
    for one in series:
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y, _ in one.points)
        dash = ' stroke-dasharray="6 4"' if one.dashed else ""
        body += f'<polyline points="{path}" fill="none" stroke="{one.colour}" stroke-width="2.2"{dash}/>'
        if one.dashed:
            body += "".join(
                f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3" fill="{one.colour}"/>'
                for x, y, _ in one.points
            )
    return _svg(480, 300, body, f"{y_title} over {x_title}") + legend(series)


def bars(values: dict[str, float], limit: float, floor: float) -> str:
    """A bar per name on a logarithmic scale from `floor`; the limit is a line. Zero is drawn as no bar."""
    row, width, names = 24, 480, 76
    height = row * len(values) + 44
    high = max([limit * 3, *[value for value in values.values() if math.isfinite(value)]])

    def x(value: float) -> float:
        share = (math.log10(value) - math.log10(floor)) / (math.log10(high) - math.log10(floor))
        return names + max(0.0, share) * (width - names - 70)

    body = ""
    for power in range(math.ceil(math.log10(floor)), math.floor(math.log10(high)) + 1):
        at = x(10.0**power)
        body += f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height - 40}" stroke="{GRID}"/>'
        body += f'<text x="{at:.1f}" y="{height - 24}" text-anchor="middle">1e{power}</text>'
    for i, (name, value) in enumerate(values.items()):
        fine = value <= limit
        end = x(value) if value > 0 and math.isfinite(value) else (names if fine else width - 70)
        top = i * row + 4
        body += f'<text x="{names - 8}" y="{top + 13}" text-anchor="end">{html.escape(name)}</text>'
        colour = COLOURS["GB"] if fine else COLOURS["GN"]
        body += f'<rect x="{names}" y="{top}" width="{end - names:.1f}" height="16" rx="2" fill="{colour}"/>'
        body += f'<text x="{end + 6:.1f}" y="{top + 13}">{value:.1e}</text>'
    at = x(limit)
    body += f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height - 40}" stroke="#c2513a" stroke-dasharray="5 4"/>'
    body += f'<text x="{at:.1f}" y="{height - 7}" text-anchor="middle" fill="#c2513a">limit {limit:g}</text>'
    return _svg(width, height, body, "largest relative error of each layer")
