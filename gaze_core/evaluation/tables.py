"""The tables of the evaluation report: numbers with intervals, checks, published numbers, metrics not measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from gaze_core.evaluation.catalog import METRICS, RowName
from gaze_core.evaluation.checks import CLAIM
from gaze_core.evaluation.intervals import Estimate
from gaze_core.evaluation.protocols import protocol
from gaze_core.evaluation.published import published_table
from gaze_core.evaluation.report import Check, EvaluationReport
from gaze_core.reports.blocks import Block, Cell, CheckRow, Column, Fold, Heading, Notes, Table
from gaze_core.reports.text import counted, interval, number, signed_deg

BASELINE_TITLES: dict[RowName, str] = {
    "copy": "identity baseline",
    "constant": "constant prediction",
    "floor": "judge on originals",
}
_PUBLISHED_METRICS = {
    "gaze_error_vs_original_deg": "Gaze °",
    "head_error_vs_original_deg": "Head °",
    "psnr_db": "PSNR dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "fid": "FID",
}


def number_table(
    candidate: EvaluationReport, candidate_name: str, baseline: EvaluationReport | None, baseline_name: str
) -> Table:
    """One row for each measured metric, one column for each model and baseline."""
    named = [(candidate_name, candidate)] + ([(baseline_name, baseline)] if baseline else [])
    columns = [Column("metric", numeric=False), *(Column(name) for name, _ in named)]
    columns += [
        *(Column(name) for name in BASELINE_TITLES.values()),
        Column("n"),
        Column("better", numeric=False, wide=True),
    ]
    rows = [
        (
            Cell(METRICS[name].title, hint=METRICS[name].source),
            *(_cell(report, name, emphasis="" if report is baseline else "strong") for _, report in named),
            *(_cell(candidate, name, row, "soft") for row in BASELINE_TITLES),
            Cell(str(candidate.estimate(name).num_samples), emphasis="soft"),
            Cell(METRICS[name].better, emphasis="soft"),
        )
        for name in METRICS
        if any(report.estimate(name).value is not None for _, report in named)
    ]
    return Table(columns, rows)


def _cell(report: EvaluationReport, name: str, row: RowName = "model", emphasis: Any = "") -> Cell:
    metric, found = METRICS[name], report.estimate(name, row)
    text = number(found.value, metric.digits) + (metric.unit if found.value is not None else "")
    return Cell(text, interval(found, metric.digits), emphasis)


def absent_rows(report: EvaluationReport) -> list[tuple[str, str]]:
    """Title and reason of each metric that could not be measured."""
    return [
        (metric.title, report.estimate(name).absent)
        for name, metric in METRICS.items()
        if report.estimate(name).value is None
    ]


def estimate_rows(report: EvaluationReport) -> list[tuple[object, ...]]:
    """A header and one row for each estimate: row name, metric, unit, direction, value, interval, counts, reason."""
    head = ("row", "metric", "unit", "better", "value", "low", "high", "num_samples", "num_subjects", "absent")
    return [
        head,
        *(
            (row.name, name, METRICS[name].unit.strip(), METRICS[name].better, one.value, one.low, one.high,
             one.num_samples, one.num_subjects, one.absent)
            for row in report.rows
            for name, one in row.estimates.items()
        ),
    ]  # fmt: skip


def markdown_table(report: EvaluationReport, name: str) -> str:
    """The numbers with their intervals, as Markdown."""
    head = ["metric", name, f"{report.bootstrap.confidence:.0%} interval", *BASELINE_TITLES.values(), "n"]
    rows = [
        [metric.title, own.text, own.note, *(_cell(report, key, row).text for row in BASELINE_TITLES),
         str(report.estimate(key).num_samples)]
        for key, metric in METRICS.items()
        if (own := _cell(report, key)) and report.estimate(key).value is not None
    ]  # fmt: skip
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def check_rows(report: EvaluationReport) -> list[CheckRow]:
    """Each check with its question and its result in words."""
    return [CheckRow(check.verdict, check.question, _answer(check), _count(check.margin)) for check in report.checks]


def _answer(check: Check) -> str:
    if check.value is None or check.rival is None:
        return check.margin.absent
    found = (
        f"{number(check.value)}{check.unit} {CLAIM}, {number(check.rival)}{check.unit} for the likeliest fault "
        f"({check.rival_name})"
    )
    if check.verdict == "fault":
        return f"No: {found}"
    return found if check.verdict == "ok" else f"Undecided with these images: {found}"


def _count(found: Estimate) -> str:
    return f"{found.num_samples} of {counted(found.num_subjects, 'subject')}"


def distance_table(candidate: EvaluationReport, name: str) -> Table:
    """Error by the angle between original and target gaze."""
    columns = [Column("angle"), Column(name), Column(BASELINE_TITLES["copy"]), Column("n")]
    rows = [
        (
            f"{row.low_deg:.0f}° to {row.high_deg:.0f}°",
            _degrees(row.gaze_error_deg, "strong"),
            Cell(_degrees(row.identity_copy_gaze_error_deg).text, emphasis="soft"),
            Cell(str(row.gaze_error_deg.num_samples), emphasis="soft"),
        )
        for row in candidate.by_distance
    ]
    return Table(columns, rows)


def angle_table(
    candidate: EvaluationReport, candidate_name: str, baseline: EvaluationReport | None, baseline_name: str
) -> Table:
    """Error by target gaze."""
    columns = [Column("pitch, yaw in the head"), Column(candidate_name)]
    columns += ([Column(baseline_name)] if baseline else []) + [Column("n")]
    rows: list[Sequence[Cell | str]] = [
        (
            f"{signed_deg(row.pitch_deg)}, {signed_deg(row.yaw_deg)}",
            _degrees(row.gaze_error_deg, "strong"),
            *([_degrees(baseline.by_angle[n].gaze_error_deg)] if baseline else []),
            Cell(str(row.gaze_error_deg.num_samples), emphasis="soft"),
        )
        for n, row in enumerate(candidate.by_angle)
    ]
    return Table(columns, rows)


def _degrees(found: Estimate, emphasis: Any = "") -> Cell:
    return Cell(number(found.value, 1) + ("°" if found.value is not None else ""), interval(found, 1), emphasis)


def published_blocks(report: EvaluationReport, name: str) -> list[Block]:
    """The published numbers of the protocol's experiment beside ours, their sources, faults and differences."""
    chosen = protocol(report.protocol.name)
    table = published_table(chosen.published, tuple(_PUBLISHED_METRICS))
    numbers = [found for row in table.values() for found in row.values()]
    ours = [Cell(_our_value(report, metric), emphasis="strong") for metric in _PUBLISHED_METRICS]
    rows: list[Sequence[Cell | str]] = [(Cell(f"{name}, here", emphasis="strong"), *ours)]
    rows += [
        (Cell(method), *(_published_value(row, metric) for metric in _PUBLISHED_METRICS))
        for method, row in table.items()
    ]
    intro = (
        f"Experiment {chosen.published.replace('_', ' ')}. These numbers were measured differently; they give a "
        "scale, not a ranking."
    )
    agreement = (
        "Gaze and head here are the judge's prediction for the rendering against its prediction for the recorded image, "
        "as in the papers; no label is involved."
    )
    faults = sorted({f"{found.method}: {found.fault}" for found in numbers if found.fault})
    sources = [*sorted({found.citation for found in numbers}), *(f"* {fault}" for fault in faults)]
    return [
        Heading("Published results", intro),
        Table([Column("method"), *(Column(head) for head in _PUBLISHED_METRICS.values())], rows),
        Heading("Differences", level=3),
        Notes([*report.protocol.differs, agreement]),
        Fold("References", [Notes(sources)]),
    ]


def _our_value(report: EvaluationReport, metric: str) -> str:
    return number(report.estimate(metric).value, METRICS[metric].digits)


def _published_value(row: Mapping[str, Any], metric: str) -> Cell:
    if metric not in row:
        return Cell("–")
    fault = row[metric].fault
    return Cell(number(row[metric].value, METRICS[metric].digits) + "*" * bool(fault), hint=fault)
