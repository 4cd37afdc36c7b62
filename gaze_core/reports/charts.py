"""Charts as inline SVG. Colours are classes of the page's style sheet, so they follow light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from gaze_core.reports.text import short
from gaze_core.sampling import evenly_spaced

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 32
_MAX_POINTS = 160
_PANEL = 220  # width beside the plot in which images appear
_LOG_FROM_RATIO = 8  # a curve whose values span a larger ratio gets a logarithmic axis


@dataclass(frozen=True)
class Series:
    """One line: points in order of x; `style` is a class of the style sheet (candidate, baseline, copy, floor)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "candidate"


@dataclass(frozen=True)
class ImagePoint:
    """A point that shows an image and a few lines of text on hover or focus."""

    x: float
    y: float
    uri: str
    lines: Sequence[str]
    style: str = "candidate"


def line_chart(
    series: Sequence[Series],
    title: str,
    x_label: str,
    unit: str = "",
    markers: bool = False,
    size_px: tuple[int, int] = (280, 145),
    points: Sequence[ImagePoint] = (),
    linear: bool = False,
) -> str:
    """A line chart over a common axis. Non-finite values are left out; a chart without values says "no values".

    Lines without markers and with a large value range get a logarithmic axis, unless `linear` is set.

    Image points are drawn as dots; their images appear to the right of the plot.
    """
    whole_width, height = size_px
    width = whole_width - (_PANEL if points else 0)
    opening = f'<svg viewBox="0 0 {whole_width} {height}" role="img" aria-label="{escape(title)}">'
    lines = [_finite(line) for line in series]
    known = np.array([(point.x, point.y) for point in points]).reshape(-1, 2)
    xs, ys = (np.concatenate([known[:, axis], *(line[axis] for line in lines)]) for axis in (0, 1))
    if len(ys) == 0:
        return f'{opening}<text class="tick" x="12" y="24">no values</text></svg>'
    log = not (markers or linear) and bool(ys.min() > 0 and ys.max() > _LOG_FROM_RATIO * ys.min())
    low, high = float(ys.min()) if log else min(0.0, float(ys.min())), float(ys.max())
    ticks = _ticks(low, high, log)
    to_x = _axis(float(xs.min()), float(xs.max()), _LEFT, width - _RIGHT, log=False)
    to_y = _axis(min(low, *ticks), max(high, *ticks), height - _BOTTOM, _TOP, log=log)
    parts = [opening]
    for advance in ticks:
        y = to_y(advance)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 6}" y="{y + 3.5:.1f}">{short(advance)}{escape(unit)}</text>')
    for advance in _ticks(float(xs.min()), float(xs.max()), log=False):
        if xs.min() <= advance <= xs.max():
            parts.append(f'<text class="tick middle" x="{to_x(advance):.1f}" y="{height - 17}">{short(advance)}</text>')
    centre = (_LEFT + width - _RIGHT) / 2
    parts.append(f'<text class="tick middle" x="{centre}" y="{height - 3}">{escape(x_label)}</text>')
    for (x, y), line in zip(lines, series, strict=True):
        places = [(to_x(a), to_y(b)) for a, b in zip(x, y, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
        if markers:
            parts += [f'<circle class="dot {line.style}" cx="{a:.1f}" cy="{b:.1f}" r="3.2"/>' for a, b in places]
    parts += [_hint(width)] if points else []
    parts += [_peek(point, to_x(point.x), to_y(point.y), width) for point in points]
    return "".join([*parts, "</svg>"])


def standalone(svg: str, style: str) -> str:
    """The chart as a standalone SVG file with its style sheet."""
    opening, rest = svg.split(">", 1)
    return f'{opening} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}'


def _hint(left: int) -> str:
    return f'<text class="tick" x="{left + 12}" y="20">Point at a dot to see its eyes.</text>'


def _peek(point: ImagePoint, x: float, y: float, left: int) -> str:
    """The dot and its image beside the plot, which CSS alone shows and hides."""
    image_height = 0.4 * (_PANEL - 20)
    text = "".join(
        f'<text class="tick" x="{left + 12}" y="{image_height + 26 + 15 * k:.0f}">{escape(line)}</text>'
        for k, line in enumerate(point.lines)
    )
    return (
        f'<g class="peek" tabindex="0"><circle class="dot {point.style}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        f'<g class="shown"><rect class="panel" x="{left + 6}" y="0" width="{_PANEL - 6}" height="{image_height + 90:.0f}"/>'
        f'<image href="{point.uri}" x="{left + 12}" y="6" width="{_PANEL - 20}" height="{image_height:.0f}"/>{text}</g></g>'
    )


def _finite(line: Series) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float)
    keep = np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= _MAX_POINTS:
        return x, y
    chosen = evenly_spaced(len(x), _MAX_POINTS)
    return x[chosen], y[chosen]


def _ticks(low: float, high: float, log: bool) -> list[float]:
    if high <= low:
        return [low]
    if log:
        ticks = [t for t in LogLocator(subs=(1.0, 2.0, 5.0), numticks=6).tick_values(low, high) if low <= t <= high]
        if len(ticks) >= 2:
            return [float(t) for t in ticks[:: max(1, len(ticks) // 4)]]
        return [low, high]
    return [float(t) for t in MaxNLocator(4).tick_values(low, high)]


def _axis(low: float, high: float, start: float, end: float, log: bool):  # type: ignore[no-untyped-def]
    """Maps [low, high] to [start, end] pixels."""
    if log:
        low, high = np.log10(low), np.log10(high)
    span = high - low or 1.0

    def place(value: float) -> float:
        position = np.log10(value) if log else value
        return start + (end - start) * float(position - low) / span

    return place
