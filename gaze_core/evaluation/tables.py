"""The tables of the report page, as plain rows: numbers with intervals, checks, what papers say, what is missing."""

from collections.abc import Mapping
from typing import Any

from gaze_core.evaluation.catalog import METRICS, RowName
from gaze_core.evaluation.checks import CLAIM
from gaze_core.evaluation.intervals import Estimate
from gaze_core.evaluation.protocols import protocol
from gaze_core.evaluation.published import published_table
from gaze_core.evaluation.report import Check, EvaluationReport

BESIDE: dict[RowName, str] = {
    "copy": "unchanged copy",
    "constant": "constant answer",
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
MINUS = "\N{MINUS SIGN}"


def number(value: float | None, digits: int = 2) -> str:
    """A number as people write it; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def interval(found: Estimate, digits: int = 2) -> str:
    """An interval as "4.0 to 5.4"; empty where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"{number(found.low, digits)} to {number(found.high, digits)}"


def number_rows(candidate: EvaluationReport, baseline: EvaluationReport | None) -> list[dict[str, Any]]:
    """One row for each metric that was measured, with a cell for each who was measured."""
    return [
        {
            "title": metric.title,
            "source": metric.source,
            "better": metric.better,
            "candidate": _cell(candidate.estimate(name), name),
            "baseline": baseline and _cell(baseline.estimate(name), name),
            "beside": [_cell(candidate.estimate(name, row), name) for row in BESIDE],
            "num": candidate.estimate(name).num_samples,
            "num_subjects": candidate.estimate(name).num_subjects,
        }
        for name, metric in METRICS.items()
        if candidate.estimate(name).value is not None or (baseline and baseline.estimate(name).value is not None)
    ]


def _cell(found: Estimate, name: str) -> dict[str, str]:
    metric = METRICS[name]
    text = number(found.value, metric.digits) + (metric.unit if found.value is not None else "")
    return {"text": text, "interval": interval(found, metric.digits)}


def absent_rows(report: EvaluationReport) -> list[tuple[str, str]]:
    """Title and reason of each metric that could not be measured."""
    return [
        (metric.title, report.estimate(name).absent)
        for name, metric in METRICS.items()
        if report.estimate(name).value is None
    ]


def estimate_rows(report: EvaluationReport) -> list[tuple[object, ...]]:
    """A head and one row for each estimate: who, metric, unit, direction, value, interval, counts, reason."""
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
    """The numbers with their intervals, for pages that show Markdown."""
    head = ["measure", name, f"{report.bootstrap.confidence:.0%} interval", *BESIDE.values(), "n"]
    rows = [
        [row["title"], row["candidate"]["text"], row["candidate"]["interval"], *(c["text"] for c in row["beside"]),
         str(row["num"])]
        for row in number_rows(report, None)
    ]  # fmt: skip
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def check_rows(report: EvaluationReport) -> list[dict[str, str]]:
    """Each question with its answer in words."""
    return [
        {"verdict": check.verdict, "question": check.question, "answer": _answer(check), "num": _count(check.margin)}
        for check in report.checks
    ]


def _answer(check: Check) -> str:
    if check.value is None or check.rival is None:
        return check.margin.absent
    found = (
        f"{number(check.value)}{check.unit} {CLAIM}, {number(check.rival)}{check.unit} for the likeliest fault "
        f"({check.rival_name})"
    )
    if check.verdict == "fault":
        return f"No: {found}"
    return found if check.verdict == "ok" else f"Cannot be told from these pictures: {found}"


def _count(found: Estimate) -> str:
    return f"{found.num_samples} of {found.num_subjects} subject{'s' * (found.num_subjects != 1)}"


def published_rows(report: EvaluationReport, name: str) -> dict[str, Any]:
    """The published numbers of the protocol's experiment beside ours, their sources, faults and differences."""
    chosen = protocol(report.protocol.name)
    table = published_table(chosen.published, tuple(_PUBLISHED_METRICS))
    numbers = [found for row in table.values() for found in row.values()]
    return {
        "experiment": chosen.published.replace("_", " "),
        "heads": list(_PUBLISHED_METRICS.values()),
        "ours": {"name": name, "cells": [_ours(report, metric) for metric in _PUBLISHED_METRICS]},
        "rows": [
            {"method": method, "cells": [_theirs(row, metric) for metric in _PUBLISHED_METRICS]}
            for method, row in table.items()
        ],
        "sources": sorted({found.citation for found in numbers}),
        "faults": sorted({f"{found.method}: {found.fault}" for found in numbers if found.fault}),
        "differs": report.protocol.differs,
    }


def _ours(report: EvaluationReport, metric: str) -> str:
    return number(report.estimate(metric).value, METRICS[metric].digits)


def _theirs(row: Mapping[str, Any], metric: str) -> dict[str, str]:
    if metric not in row:
        return {"text": "–", "fault": ""}
    return {"text": number(row[metric].value, METRICS[metric].digits), "fault": row[metric].fault}
