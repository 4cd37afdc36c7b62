"""Formatting of numbers in reports."""

from typing import Protocol

MINUS = "\N{MINUS SIGN}"


class Bounds(Protocol):
    """A value with an optional interval."""

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


def number(value: float | None, digits: int = 2) -> str:
    """A formatted number; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def interval(found: Bounds, digits: int = 2) -> str:
    """An interval as "4.0 to 5.4"; empty without one."""
    if found.low is None or found.high is None:
        return ""
    return f"{number(found.low, digits)} to {number(found.high, digits)}"


def signed_deg(value: float) -> str:
    """Whole degrees with a sign; zero has none."""
    return f"{value:+.0f}°".replace("+0°", "0°").replace("-0°", "0°").replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds as 4.2 s, 42 s, 2 min 05 s or 1 h 02 min."""
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 frame, 2 frames."""
    return f"{count} {noun}{'s' * (count != 1)}"


def short(value: float) -> str:
    """A number in few characters: 12000 -> 12k, 0.000123 -> 1.2e-4."""
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g}k"
    if abs(value) < 0.001:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.3g}"
