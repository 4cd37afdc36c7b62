"""The report of a driver run: `report.html`, `report.json` for programs and the app, `report.md` as plain text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gaze_core.artifacts import ArtifactRef
from gaze_core.driver.checkpoints import KIND
from gaze_core.driver.page import DriverReportData, driver_page, example_frames
from gaze_core.driver.record import DriveRecord
from gaze_core.driver.report import BASELINES, METRICS, DriverComparison, DriverEvaluation, Errors
from gaze_core.reports.page import JSON_FILE, write_report
from gaze_core.stages.driver.compare import read_driver_comparison
from gaze_core.stages.driver.evaluate import read_driver_evaluation
from gaze_core.training.checkpoint import WEIGHTS_FILE, read_card
from tasks.reports.result import RunResult
from tasks.reports.sources import sources_of, training_curves
from tasks.stage_task import StageOutcome
from tasks.store.artifacts import Store

MARKDOWN_FILE = "report.md"
FILES = ("report.html", JSON_FILE, MARKDOWN_FILE)


class DriverReport(RunResult):
    """The result of a driver run."""

    beats_all: bool
    reasons: tuple[str, ...]
    numbers: Mapping[str, float]

    def headline(self) -> list[str]:
        """Errors before and after, the verdict, and how to look at it."""
        rows = []
        for metric in METRICS:
            name = metric.removesuffix("_deg")
            before, after, share = (self.numbers[f"{name}_{what}"] for what in ("before_deg", "after_deg", "reduction"))
            rows.append(f"{name:10} {before:6.2f} -> {after:5.2f} deg  ({share:+.0%} less)".replace("+", ""))
        beats = "beats" if self.beats_all else "does not beat"
        rows.append(f"verdict    {self.verdict}; {beats} every baseline")
        return [*rows, f"look at it with: gazeworks app driver --report {self.report.parent}"]


def write_driver_report(
    refs: Mapping[str, ArtifactRef], start: str, outcomes: Sequence[StageOutcome], seconds: float, out: Path
) -> DriverReport:
    """Writes the three files to `out`.

    Args:
        refs: by role: data, base, finetuned, before, after, comparison.
        start: what the user calls the estimator before fine-tuning.
        outcomes: what became of each stage.
        seconds: duration of the run.
        out: folder of the report.
    """
    store = Store.from_environment()
    folders = {role: store.fetch(ref) for role, ref in refs.items()}
    record = DriveRecord.read(folders["data"])
    before, after = (read_driver_evaluation(folders[role]) for role in ("before", "after"))
    data = DriverReportData(
        record=record,
        before=before,
        after=after,
        comparison=read_driver_comparison(folders["comparison"]),
        seconds=seconds,
        provenance=[_start(folders["base"], start), *_provenance(record)],
        examples=example_frames(folders["data"], before, after),
        curves=training_curves(folders["finetuned"]),
        sources=sources_of(store, refs, outcomes, record.dropped, {}),
    )
    html, _ = write_report(driver_page(data), {"started_from": start, **_facts(data)}, out)
    (out / MARKDOWN_FILE).write_text(report_markdown(data), encoding="utf-8")
    return DriverReport(
        report=html, verdict=data.comparison.verdict, beats_all=data.comparison.beats_all,
        reasons=data.comparison.reasons, numbers=numbers(before, after, data.comparison), faults=data.faults,
        cannot_tell=data.cannot_tell, warnings=record.warnings,
        checkpoints={row.name: row.checkpoint for row in data.sources.trained},
    )  # fmt: skip


def _facts(data: DriverReportData) -> dict[str, object]:
    """The content of `report.json`."""
    record, before, after = data.record, data.before, data.after
    return {
        "title": f"Driver gaze: {record.name}",
        "verdict": data.comparison.verdict,
        "seconds": round(data.seconds, 1),
        "requested": record.requested,
        "num_train": after.num_train,
        "num_test": after.num_test,
        "numbers": numbers(before, after, data.comparison),
        "comparison": data.comparison.model_dump(mode="json"),
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
        "row_faults": record.row_faults,
        "mount": record.mount and record.mount.model_dump(mode="json"),
        "faults": list(data.faults),
        "cannot_tell": list(data.cannot_tell),
        "warnings": list(record.warnings),
        **data.sources.facts(),
    }


def numbers(before: DriverEvaluation, after: DriverEvaluation, comparison: DriverComparison) -> dict[str, float]:
    """The headline: mean errors before and after in degrees, and their relative reduction."""
    out = {}
    for metric in METRICS:
        name = metric.removesuffix("_deg")
        out[f"{name}_before_deg"] = getattr(before.errors["model"], metric).mean
        out[f"{name}_after_deg"] = getattr(after.errors["model"], metric).mean
        out[f"{name}_reduction"] = comparison.reduction[metric]
    return out


def report_markdown(data: DriverReportData) -> str:
    """The report in Markdown."""
    record, before, after, comparison = data.record, data.before, data.after, data.comparison
    percent = f"{after.intervals.confidence:.0%}"
    lines = [
        f"# Driver gaze: {record.name}",
        "",
        f"Verdict: **{comparison.verdict}** than before fine-tuning; "
        f"{'beats' if comparison.beats_all else 'does not beat'} every baseline.",
        "",
        f"{after.num_test} test frames in held-out blocks of time, {after.num_train} training frames, one "
        f"drive and one driver. Mean absolute errors in degrees in the tracker's frame; in brackets the {percent} "
        "interval of a bootstrap over blocks of time.",
        "",
        "| | azimuth | elevation | angle |",
        "|---|---|---|---|",
        _row("before", before.errors["model"]),
        _row("**after**", after.errors["model"]),
        *(_row(f"before, corrected: {n}" if n in ("bias", "affine") else n, before.errors[n]) for n in BASELINES),
        "",
        "## Compared with each baseline",
        "",
        *(f"- {reason}" for reason in comparison.reasons),
        "",
        "## A correction learned from a few frames instead of fine-tuning",
        "",
        "| frames | method | mean angle | worst choice |",
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
    lines += [
        "",
        "## Data and stages",
        "",
        *(f"- {line}" for line in [*data.provenance, *_warnings(record)]),
        "",
        "| stage | | s |",
        "|---|---|---|",
    ]
    lines += [f"| {row.name} | {row.how} | {row.seconds} |" for row in data.sources.stages]
    return "\n".join(lines) + "\n"


def _start(base: Path, name: str) -> str:
    card = read_card(base / WEIGHTS_FILE, KIND)
    known = len(card["trained_on"].get("train", []))
    trained = f", trained on {known} people" if card["made_by"] == "driver_pretrain" else ""
    return f"Fine-tuning started from {name}: {card['network']['backbone']}{trained}."


def _provenance(record: DriveRecord) -> list[str]:
    dropped = ", ".join(f"{count} {reason}" for reason, count in record.dropped.items()) or "none"
    rows = ", ".join(f"{count} {reason}" for reason, count in record.row_faults.items()) or "none"
    lines = [
        f"{record.requested} frames requested, {len(record.frames)} kept; left out: {dropped}.",
        f"Rows of the table without a valid gaze: {rows}.",
    ]
    if record.mount:
        held_out = record.mount.held_out_median_deg
        lines.append(
            f"The glasses are turned by {record.mount.pitch_deg:+.1f} deg (pitch) and {record.mount.yaw_deg:+.1f} deg "
            f"(yaw) on the head, fitted to {record.mount.num_readings} training frames. Tracker and eye landmarks differ "
            f"by {record.mount.residual_median_deg:.1f} deg (median) there, and by "
            f"{'n/a' if held_out is None else f'{held_out:.1f}'} deg on held-out blocks."
        )
    return lines


def _warnings(record: DriveRecord) -> list[str]:
    return [f"Warning: {warning}." for warning in record.warnings]


def _row(name: str, errors: Errors) -> str:
    cells = (getattr(errors, metric) for metric in METRICS)
    return f"| {name} | " + " | ".join(f"{c.mean:.2f} ({c.low:.2f} to {c.high:.2f})" for c in cells) + " |"


def _means(errors: Errors) -> dict[str, dict[str, float]]:
    return {metric: getattr(errors, metric).model_dump() for metric in METRICS}
