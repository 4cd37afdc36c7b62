"""Figures as inline SVG and PNG. Colours are classes of the page's style sheet, so they follow light and dark."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator
from PIL import Image

_WIDTH, _HEIGHT = 320, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 10, 30
_MAX_POINTS = 160
_LOG_FROM_RATIO = 8  # a curve that spans more than this is drawn on a logarithmic axis


@dataclass(frozen=True)
class Series:
    """One line: points in order of x; `style` is a class of the style sheet (candidate, baseline, copy, floor)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "candidate"


@dataclass(frozen=True)
class Mark:
    """One value on a scale."""

    name: str
    value: float
    style: str


def png_data_uri(image: np.ndarray) -> str:
    """A uint8 RGB image [H, W, 3] as a `data:` address."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def short(value: float) -> str:
    """A number in few characters: 12000 -> 12k, 0.000123 -> 1.2e-4."""
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g}k"
    if abs(value) < 0.001:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.3g}"


def line_chart(series: Sequence[Series], title: str, x_label: str, unit: str = "", markers: bool = False) -> str:
    """Lines over a common axis. Values that are not finite are left out; without any the chart says so."""
    lines = [_finite(line) for line in series]
    values = np.concatenate([y for _, y in lines])
    if len(values) == 0:
        return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><text x="12" y="24">no values</text></svg>'
    xs = np.concatenate([x for x, _ in lines])
    log = not markers and bool(values.min() > 0 and values.max() > _LOG_FROM_RATIO * values.min())
    low, high = (
        (float(values.min()), float(values.max())) if log else (min(0.0, float(values.min())), float(values.max()))
    )
    ticks = _ticks(low, high, log)
    to_x = _axis(float(xs.min()), float(xs.max()), _LEFT, _WIDTH - _RIGHT, log=False)
    to_y = _axis(min(low, *ticks), max(high, *ticks), _HEIGHT - _BOTTOM, _TOP, log=log)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in ticks:
        y = to_y(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 6}" y="{y + 3.5:.1f}">{short(tick)}{escape(unit)}</text>')
    for tick in _ticks(float(xs.min()), float(xs.max()), log=False):
        if xs.min() <= tick <= xs.max():
            parts.append(f'<text class="tick middle" x="{to_x(tick):.1f}" y="{_HEIGHT - 15}">{short(tick)}</text>')
    parts.append(
        f'<text class="tick middle" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 2}">{escape(x_label)}</text>'
    )
    for (x, y), line in zip(lines, series, strict=True):
        points = [(to_x(a), to_y(b)) for a, b in zip(x, y, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
        if markers:
            parts += [f'<circle class="dot {line.style}" cx="{a:.1f}" cy="{b:.1f}" r="3.2"/>' for a, b in points]
    return "".join([*parts, "</svg>"])


def scale_bar(marks: Sequence[Mark], unit: str) -> str:
    """Values on one line from zero, each with its name; names alternate above and below so that neighbours do not collide."""
    width, middle = 720, 54
    to_x = _axis(0.0, max(mark.value for mark in marks) * 1.06, 14, width - 14, log=False)
    parts = [f'<svg viewBox="0 0 {width} 108" role="img" aria-label="errors on one scale">']
    parts.append(f'<line class="axis" x1="14" x2="{width - 14}" y1="{middle}" y2="{middle}"/>')
    for index, mark in enumerate(sorted(marks, key=lambda mark: mark.value)):
        x, above = to_x(mark.value), index % 2 == 0
        name_y, value_y = (16, 32) if above else (102, 86)
        end = middle - 16 if above else middle + 16
        anchor = "start" if x < 90 else "end" if x > width - 90 else "middle"
        text_x = max(14.0, min(width - 14.0, x))
        parts.append(f'<line class="stem {mark.style}" x1="{x:.1f}" x2="{x:.1f}" y1="{middle}" y2="{end}"/>')
        parts.append(f'<circle class="dot {mark.style}" cx="{x:.1f}" cy="{middle}" r="5"/>')
        parts.append(f'<text class="name {anchor}" x="{text_x:.1f}" y="{name_y}">{escape(mark.name)}</text>')
        parts.append(
            f'<text class="value {anchor}" x="{text_x:.1f}" y="{value_y}">{mark.value:.1f}{escape(unit)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _finite(line: Series) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float)
    keep = np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= _MAX_POINTS:
        return x, y
    chosen = np.linspace(0, len(x) - 1, _MAX_POINTS).round().astype(int)
    return x[chosen], y[chosen]


def _ticks(low: float, high: float, log: bool) -> list[float]:
    if high <= low:
        return [low]
    if log:
        ticks = [t for t in LogLocator(subs=(1.0, 3.0), numticks=6).tick_values(low, high) if low <= t <= high]
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
