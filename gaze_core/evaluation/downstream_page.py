"""The report of the downstream experiment: one self-contained HTML page, and Markdown."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaze_core.evaluation.downstream import DownstreamReport
from gaze_core.evaluation.published import SOURCES, published_numbers
from gaze_core.reports import page as skeleton
from gaze_core.reports.blocks import Bar, Bars, Block, Cell, Column, Heading, ImageGroup, ImageStrip, Style, Table, Text
from gaze_core.reports.images import png_data_uri
from gaze_core.reports.text import counted, interval, number

_VERDICTS: Mapping[str, skeleton.Verdict] = {
    "helps": skeleton.Verdict("better", "Redirected images help"),
    "hurts": skeleton.Verdict("regressed", "Redirected images hurt"),
    "undecided": skeleton.Verdict("equal", "No significant difference"),
}
_NAME = "downstream"


def write_downstream_page(
    report: DownstreamReport, images: Mapping[str, np.ndarray], title: str, subtitle: str, out: Path
) -> Path:
    """Writes `downstream.html` and `downstream.json` to the folder `out` and returns the page's path."""
    verdict = _VERDICTS[report.verdict]
    gain = f"gain {number(report.gain_deg.value)}°, {interval(report.gain_deg)}"
    held_out = counted(report.gain_deg.num_samples, "held-out image")
    scale = (
        f"Mean gaze error of a small estimator on {held_out} of {counted(report.gain_deg.num_subjects, 'subject')}, "
        "averaged over the repeats. Lower is better."
    )
    page = skeleton.Page(
        title,
        subtitle,
        skeleton.Verdict(verdict.style, verdict.words, gain),
        [
            Text(report.caveat),
            _bars(report),
            Text(scale),
            *_repeats(report),
            Heading("Training images"),
            *(ImageStrip([_group(title, images[name])]) for title, name in _IMAGES),
            *_published(),
        ],
        footer=f"The same facts as JSON: {_NAME}.json beside this page.",
    )
    return skeleton.write_report(page, report.model_dump(mode="json"), out, _NAME)[0]


_IMAGES = (("Real", "real"), ("Redirected from those", "generated"))


def markdown(report: DownstreamReport) -> str:
    """A short summary as Markdown."""
    rows = [
        f"| {name} | {number(arm.error_deg.value)}° | {interval(arm.error_deg)} | {arm.error_deg.num_samples} |"
        for (name, _), arm in zip(_arm_names(report), report.arms, strict=True)
    ]
    head = ["| trained on | gaze error | interval | n |", "| --- | --- | --- | --- |"]
    words = _VERDICTS[report.verdict].words
    gain = f"Gain {number(report.gain_deg.value)}° ({interval(report.gain_deg)}): {words}."
    return "\n".join([gain, "", *head, *rows, "", report.caveat])


def _arm_names(report: DownstreamReport) -> list[tuple[str, Style]]:
    return [
        ("nothing more (other people only)", "copy"),
        (f"{report.num_real} real images", "baseline"),
        (f"{report.num_real} real, {report.num_generated} redirected", "candidate"),
    ]


def _bars(report: DownstreamReport) -> Bars:
    return Bars(
        "Errors on one scale",
        [
            Bar(name, arm.error_deg.value or 0.0, f"{number(arm.error_deg.value)}°", interval(arm.error_deg), style)
            for (name, style), arm in zip(_arm_names(report), report.arms, strict=True)
        ],
    )


def _repeats(report: DownstreamReport) -> list[Block]:
    rows = [
        (repeat.subject, str(repeat.number + 1), Cell(f"{number(repeat.gain_deg)}°", emphasis="strong"))
        for repeat in report.repeats
    ]
    columns = [Column("subject"), Column("repeat", numeric=False), Column("gain")]
    return [Heading("Each choice of real images"), Table(columns, rows)]


def _group(title: str, images: np.ndarray) -> ImageGroup:
    return ImageGroup(title, [("", png_data_uri(image)) for image in images])


def _published() -> list[Block]:
    rows = [row for row in published_numbers() if row.experiment == "eth_xgaze_few_shot"]
    methods = dict.fromkeys(row.method for row in rows)
    ks = [row.setting.split()[0] for row in rows if row.method == rows[0].method]
    intro = (
        f"{SOURCES[rows[0].source]}, {rows[0].table}: error in degrees after k real images of ETH-XGaze's person-specific "
        "subjects. Other people, other estimator; a scale, not a ranking."
    )
    cells = [(method, *(number(row.value) for row in rows if row.method == method)) for method in methods]
    table = Table([Column("k"), *(Column(k) for k in ks)], cells)
    return [Heading("Published results", intro), table, Text(f"{rows[0].fault.capitalize()}.")]
