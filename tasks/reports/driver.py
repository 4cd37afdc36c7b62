"""The report of a driver run: `report.json` for programs and the app, `report.md` to read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Config
from gaze_core.driver.record import DriveRecord
from gaze_core.driver.report import BASELINES, METRICS, DriverComparison, DriverEvaluation, Errors
from gaze_core.stages.driver.compare import read_driver_comparison
from gaze_core.stages.driver.evaluate import read_driver_evaluation
from tasks.stage_task import StageOutcome
from tasks.store.artifacts import Store

JSON_FILE, PAGE_FILE = "report.json", "report.md"


class DriverReport(Config):
    """Where the report is, and the numbers that matter."""

    report: Path
    verdict: str
    beats_all: bool
    reasons: tuple[str, ...]
    numbers: dict[str, float]


def write_driver_report(
    refs: Mapping[str, ArtifactRef], outcomes: Sequence[StageOutcome], seconds: float, out: Path
) -> DriverReport:
    """Writes both files to `out`. `refs` by role: data, base, finetuned, before, after, comparison."""
    store = Store.from_environment()
    folders = {role: store.fetch(ref) for role, ref in refs.items()}
    record = DriveRecord.read(folders["data"])
    before, after = (read_driver_evaluation(folders[role]) for role in ("before", "after"))
    comparison = read_driver_comparison(folders["comparison"])
    stages = [
        {"name": o.stage, "how": o.how, "seconds": round(o.seconds, 1), "digest": o.ref.digest(), "note": o.note}
        for o in outcomes
    ]
    facts = {
        "title": f"Driver gaze: {record.name}",
        "verdict": comparison.verdict,
        "seconds": round(seconds, 1),
        "requested": record.requested,
        "num_train": after.num_train,
        "num_test": after.num_test,
        "numbers": numbers(before, after, comparison),
        "comparison": comparison.model_dump(mode="json"),
        "errors": {
            "before": _means(before.errors["model"]),
            "after": _means(after.errors["model"]),
            **{f"before, {name}": _means(before.errors[name]) for name in BASELINES},
        },
        "few_shot": [row.model_dump(mode="json") for row in before.few_shot],
        "scenarios": {
            "before": [row.model_dump(mode="json") for row in before.scenarios],
            "after": [row.model_dump(mode="json") for row in after.scenarios],
        },
        "dropped": record.dropped,
        "row_faults": record.row_faults,
        "mount": record.mount and record.mount.model_dump(mode="json"),
        "warnings": list(record.warnings),
        "stages": stages,
        "artifacts": {role: ref.model_dump(mode="json") for role, ref in refs.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    page = page_text(record, before, after, comparison, stages)
    (out / JSON_FILE).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")
    (out / PAGE_FILE).write_text(page)
    return DriverReport(
        report=out / PAGE_FILE, verdict=comparison.verdict, beats_all=comparison.beats_all, reasons=comparison.reasons,
        numbers=numbers(before, after, comparison),
    )  # fmt: skip


def numbers(before: DriverEvaluation, after: DriverEvaluation, comparison: DriverComparison) -> dict[str, float]:
    """The headline: mean errors before and after in degrees, and by what share they fell."""
    out = {}
    for metric in METRICS:
        name = metric.removesuffix("_deg")
        out[f"{name}_before_deg"] = getattr(before.errors["model"], metric).mean
        out[f"{name}_after_deg"] = getattr(after.errors["model"], metric).mean
        out[f"{name}_reduction"] = comparison.reduction[metric]
    return out


def page_text(
    record: DriveRecord,
    before: DriverEvaluation,
    after: DriverEvaluation,
    comparison: DriverComparison,
    stages: Sequence[Mapping[str, object]],
) -> str:
    """The report in Markdown."""
    percent = f"{after.intervals.confidence:.0%}"
    lines = [
        f"# Driver gaze: {record.name}",
        "",
        f"Verdict: **{comparison.verdict}** than before fine-tuning; "
        f"{'beats' if comparison.beats_all else 'does not beat'} every baseline.",
        "",
        f"{after.num_test} test frames in blocks of time that training never saw, {after.num_train} training frames, one "
        f"drive and one driver. Mean absolute errors in degrees in the tracker's frame; in brackets the {percent} "
        "interval of a bootstrap over blocks of time.",
        "",
        "| | azimuth | elevation | angle |",
        "|---|---|---|---|",
        _row("before", before.errors["model"]),
        _row("**after**", after.errors["model"]),
        *(_row(f"before, corrected: {n}" if n in ("bias", "affine") else n, before.errors[n]) for n in BASELINES),
        "",
        "## Against each",
        "",
        *(f"- {reason}" for reason in comparison.reasons),
        "",
        "## A correction learned from a few frames instead of fine-tuning",
        "",
        "| frames | method | mean angle | worst draw |",
        "|---|---|---|---|",
        *(f"| {r.count} | {r.method} | {r.angular_deg:.2f} | {r.worst_draw_deg:.2f} |" for r in before.few_shot),
        "",
        "## By scenario",
        "",
        "| scenario | frames | azimuth before | after | elevation before | after | angle before | after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for old, new in zip(before.scenarios, after.scenarios, strict=True):
        cells = " | ".join(f"{getattr(old, m):.2f} | {getattr(new, m):.2f}" for m in METRICS)
        lines.append(f"| {old.scenario} | {old.num_frames} | {cells} |")
    lines += ["", "## How it came about", "", *_provenance(record), "", "| stage | | s |", "|---|---|---|"]
    lines += [f"| {stage['name']} | {stage['how']} | {stage['seconds']} |" for stage in stages]
    return "\n".join(lines) + "\n"


def _provenance(record: DriveRecord) -> list[str]:
    dropped = ", ".join(f"{count} {reason}" for reason, count in record.dropped.items()) or "none"
    rows = ", ".join(f"{count} {reason}" for reason, count in record.row_faults.items()) or "none"
    lines = [
        f"- {record.requested} frames asked for, {len(record.frames)} kept; left out: {dropped}.",
        f"- Rows of the table without a valid gaze: {rows}.",
    ]
    if record.mount:
        held_out = record.mount.held_out_median_deg
        lines.append(
            f"- The glasses look {record.mount.pitch_deg:+.1f} deg (pitch) and {record.mount.yaw_deg:+.1f} deg (yaw) off "
            "the head, learned from "
            f"{record.mount.num_readings} training frames; the irises disagree by {record.mount.residual_median_deg:.1f} "
            f"deg in the median, on other blocks by {'n/a' if held_out is None else f'{held_out:.1f}'} deg."
        )
    return lines + [f"- Warning: {warning}." for warning in record.warnings]


def _row(name: str, errors: Errors) -> str:
    cells = (getattr(errors, metric) for metric in METRICS)
    return f"| {name} | " + " | ".join(f"{c.mean:.2f} ({c.low:.2f} to {c.high:.2f})" for c in cells) + " |"


def _means(errors: Errors) -> dict[str, dict[str, float]]:
    return {metric: getattr(errors, metric).model_dump() for metric in METRICS}
