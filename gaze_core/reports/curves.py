"""Training curves by name: `weighted/` terms add up to the loss, `validation/` values are measured on held-out samples.

All other terms are logged unweighted, in the unit at the end of their name.
"""

from collections.abc import Iterable, Mapping, Sequence

from gaze_core.reports.blocks import Block, Charts, Fold, Heading, SmallChart
from gaze_core.reports.charts import Series, line_chart
from gaze_core.reports.text import short

Curve = tuple[Sequence[float], Sequence[float]]
"""Steps and values of one logged number."""
VALIDATION, WEIGHTED = "validation/", "weighted/"
_FEW = 5
_UNITS = {"deg": "°", "rad": "rad", "dm2": "dm²", "dm": "dm", "m": "m", "px": "px", "db": "dB"}


def curves_of(rows: Iterable[Mapping[str, float]]) -> dict[str, Curve]:
    """Each number over steps, from the rows of a training history; validation first, weighted terms last."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step":
                steps, values = found.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return {name: found[name] for name in sorted(found, key=_rank)}


def curve_title(name: str) -> str:
    """The chart title of a logged number: `validation/gaze_error_deg` -> "validation: gaze error, °"."""
    group, _, rest = name.rpartition("/")
    words, _, unit = rest.rpartition("_")
    known = unit in _UNITS and words and group != WEIGHTED.rstrip("/")  # a weighted term has no unit
    title = f"{words}, {_UNITS[unit]}" if known else rest
    return f"{group.replace('/', ' ')}: {title}".replace("_", " ") if group else title.replace("_", " ")


def curve_blocks(stages: Mapping[str, Mapping[str, Curve]]) -> list[Block]:
    """The curves of each stage; the weighted terms are in a collapsed section."""
    blocks: list[Block] = []
    for stage, curves in stages.items():
        nonempty = {name: curve for name, curve in curves.items() if len(curve[1]) > 0}
        weighted = [_chart(name, curve) for name, curve in nonempty.items() if WEIGHTED in name]
        plain = [_chart(name, curve) for name, curve in nonempty.items() if WEIGHTED not in name]
        if nonempty:
            blocks += [Heading(stage.replace("_", " "), level=3), Charts(plain)]
        if weighted:
            blocks.append(Fold("Weighted terms, as they add up to the loss", [Charts(weighted)]))
    if not blocks:
        return []
    intro = (
        "Terms are unweighted, in the unit beside their name; validation is measured on held-out samples. "
        "First and last value beside each name."
    )
    return [Heading("Training curves", intro), *blocks]


def _chart(name: str, curve: Curve) -> SmallChart:
    steps, values = curve
    title = curve_title(name)
    change = f"{short(float(values[0]))} → {short(float(values[-1]))}"
    style = "floor" if name.startswith(VALIDATION) else "candidate"
    few = len(values) < _FEW  # a line through one point is invisible
    return SmallChart(title, change, line_chart([Series(title, steps, values, style)], title, "step", markers=few))


def _rank(name: str) -> tuple[int, str]:
    groups = (name.startswith(VALIDATION), name == "loss", WEIGHTED not in name)
    return next((rank for rank, holds in enumerate(groups) if holds), len(groups)), name
