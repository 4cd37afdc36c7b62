"""The page of the downstream experiment: one self-contained HTML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gaze_core.evaluation.downstream import DownstreamReport
from gaze_core.evaluation.page import environment
from gaze_core.evaluation.pictures import png_data_uri
from gaze_core.evaluation.published import SOURCES, published_numbers
from gaze_core.evaluation.tables import interval, number

_WORDS = {
    "helps": "Redirected pictures help",
    "hurts": "Redirected pictures hurt",
    "undecided": "No difference can be told",
}
_STYLES = {"start": "copy", "real": "baseline", "augmented": "candidate"}


def write_downstream_page(
    report: DownstreamReport, pictures: Mapping[str, np.ndarray], title: str, subtitle: str, out: Path
) -> Path:
    """Writes `downstream.html` and `downstream.json` to the folder `out` and returns the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    page = out / "downstream.html"
    html = environment().get_template("downstream.html").render(
        report=report, title=title, subtitle=subtitle, words=_WORDS[report.verdict], bars=_bars(report),
        pictures=[(name, [png_data_uri(image) for image in images]) for name, images in _named(report, pictures)],
        published=_published(), columns="1fr",
    )  # fmt: skip
    page.write_text(html, encoding="utf-8")
    (out / "downstream.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return page


def markdown(report: DownstreamReport) -> str:
    """The result in a few lines, for pages that show Markdown."""
    rows = [
        f"| {name} | {number(arm.error_deg.value)}° | {interval(arm.error_deg)} | {arm.error_deg.num_samples} |"
        for (name, _), arm in zip(_arm_names(report), report.arms, strict=True)
    ]
    head = ["| trained on | gaze error | interval | n |", "| --- | --- | --- | --- |"]
    gain = f"Gain {number(report.gain_deg.value)}° ({interval(report.gain_deg)}): {_WORDS[report.verdict]}."
    return "\n".join([gain, "", *head, *rows, "", report.caveat])


def _arm_names(report: DownstreamReport) -> list[tuple[str, str]]:
    return [
        ("nothing more (other people only)", _STYLES["start"]),
        (f"{report.num_real} real pictures", _STYLES["real"]),
        (f"{report.num_real} real, {report.num_generated} redirected", _STYLES["augmented"]),
    ]


def _bars(report: DownstreamReport) -> list[dict[str, Any]]:
    values = [arm.error_deg.value or 0.0 for arm in report.arms]
    return [
        {"name": name, "value": value, "interval": interval(arm.error_deg), "style": style,
         "percent": round(100 * value / (max(values) or 1.0), 1)}
        for (name, style), value, arm in zip(_arm_names(report), values, report.arms, strict=True)
    ]  # fmt: skip


def _named(report: DownstreamReport, pictures: Mapping[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    return [("Real", pictures["real"]), ("Redirected from those", pictures["generated"])]


def _published() -> dict[str, Any]:
    rows = [row for row in published_numbers() if row.experiment == "eth_xgaze_few_shot"]
    methods = dict.fromkeys(row.method for row in rows)
    return {
        "title": f"{SOURCES[rows[0].source]}, {rows[0].table}",
        "ks": [row.setting.split()[0] for row in rows if row.method == rows[0].method],
        "rows": [(method, [row.value for row in rows if row.method == method]) for method in methods],
        "fault": rows[0].fault.capitalize(),
    }
