"""The files of an evaluation's report: page, JSON, and figures as separate files."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaze_core.evaluation.intervals import Estimate
from gaze_core.evaluation.page import ReportData, distance_chart, page_of
from gaze_core.evaluation.report import EvaluationReport
from gaze_core.evaluation.tables import estimate_rows
from gaze_core.reports import page as skeleton
from gaze_core.reports.charts import standalone


def write_report(data: ReportData, folder: Path) -> tuple[Path, Path]:
    """Writes `report.html` and `report.json` to `folder` and returns their paths."""
    return skeleton.write_report(page_of(data), report_facts(data), folder)


def write_figures(data: ReportData, folder: Path) -> list[Path]:
    """Writes the redirection curve as SVG and every number as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    curve, numbers = folder / "redirection_curve.svg", folder / "numbers.csv"
    curve.write_text(standalone(distance_chart(data), skeleton.style_sheet("figure.css")), encoding="utf-8")
    with numbers.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(estimate_rows(data.candidate))
    return [curve, numbers]


def report_facts(data: ReportData) -> dict[str, Any]:
    """The content of `report.json`. Numbers are flat under stable keys; those of the baseline are under `baseline`.

    `last_block` has the same keys for the end of a recording, or is null.
    """
    candidate, last = data.candidate, data.last_block
    return {
        "title": data.title,
        "verdict": data.verdict,
        "seconds": round(data.seconds, 1),
        **_measured(candidate, data.baseline),
        "last_block": last and _measured(last.candidate, last.baseline),
        "comparison": data.comparison and data.comparison.model_dump(mode="json"),
        "judge": {"name": candidate.judge_name, "digest": candidate.judge_digest},
        "instruments": candidate.instruments,
        "by_angle": [row.model_dump() for row in candidate.by_angle],
        "by_distance": [row.model_dump() for row in candidate.by_distance],
        "enhancements": [{"name": name, "detail": detail} for name, detail in data.enhancements],
        **data.sources.facts(),
        "notes": list(data.notes),
    }


def _measured(candidate: EvaluationReport, baseline: EvaluationReport | None) -> dict[str, Any]:
    """What was found on one set of held-out frames."""
    return {
        "num_samples": candidate.num_samples,
        "num_unreadable": candidate.num_unreadable,
        **candidate.numbers,
        "estimates": {row.name: _known(row.estimates) for row in candidate.rows},
        "protocol": candidate.protocol.model_dump(mode="json"),
        "checks": [check.model_dump(mode="json") for check in candidate.checks],
        "faults": list(candidate.faults),
        "cannot_tell": list(candidate.cannot_tell),
        "sweep": [line.model_dump(mode="json") for line in candidate.sweep],
        "readers_absent": candidate.readers_absent,
        "label_error_deg": candidate.label_error_deg,
        "baseline": baseline and {"num_unreadable": baseline.num_unreadable, **baseline.numbers},
    }


def _known(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: found.model_dump(mode="json") for name, found in estimates.items()}
