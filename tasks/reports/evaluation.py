"""The report of a run: gathers what the stages published and writes one page. Not cached: it also tells what was."""

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from gaze_core.artifacts import ArtifactRef
from gaze_core.evaluation.page import JSON_FILE, Curve, ReportData, StageRow, write_figures, write_report
from gaze_core.evaluation.pictures import Pictures
from gaze_core.evaluation.tables import markdown_table
from gaze_core.plans.redirection import RedirectionPlan
from gaze_core.stages.redirection.compare import read_comparison, read_evaluation
from gaze_core.stages.redirection.evaluate import PICTURES_FILE
from gaze_core.training.checkpoint import WEIGHTS_FILE, read_card
from gaze_core.training.history import read_history
from tasks.stage_task import FlowLedger, StageOutcome
from tasks.store.artifacts import Store
from tasks.store.provenance import package_versions

_SHOWN_PACKAGES = ("gazeworks", "torch", "lightning", "numba", "prefect", "mlflow", "ai-edge-litert")
_NOTES = {
    "synthetic": (
        "Labels are exact: the subject is rendered from a model of a head, and is not a real person.",
        "The judge is a small network trained on other rendered people. It takes no part in training the models.",
    ),
    "video": (
        "Labels and judge are the same iris model, so the gaze errors say how well the pictures agree with what was "
        "asked for, not how accurate the labels are.",
        "The judge reads no head direction, so that error is not available.",
    ),
}
_WITHOUT_WEIGHTS = "Trained without a perceptual loss: its weights do not ship with the package."


@dataclass(frozen=True)
class RunFacts:
    """What the flow knows and no artifact does."""

    preset: str
    plan: RedirectionPlan
    started_s: float  # on the monotonic clock
    outcomes: tuple[StageOutcome, ...]


@dataclass(frozen=True)
class WrittenReport:
    """Where a report is and what it says in short."""

    page: Path
    verdict: str
    reasons: tuple[str, ...]
    numbers: dict[str, float | None]
    faults: tuple[str, ...] = ()
    table: str = ""  # the numbers, as Markdown
    figures: tuple[Path, ...] = ()


@task(name="write_report", persist_result=False, cache_policy=NO_CACHE)
def write_redirection_report(refs: Mapping[str, ArtifactRef], facts: RunFacts, out: Path) -> WrittenReport:
    """Writes `report.html` and `report.json` to `out`.

    `refs` by role: data, mesh_head, candidate, candidate_evaluation, comparison, and where there is one baseline and
    baseline_evaluation.
    """
    store = Store.from_environment()
    folders = {role: store.fetch(ref) for role, ref in refs.items()}
    candidate, pictures = _evaluated(folders, "candidate")
    baseline, baseline_pictures = _evaluated(folders, "baseline")
    manifest = store.manifest(refs["data"])
    card = read_card(folders["candidate"] / WEIGHTS_FILE, "gaze_gaussian")
    comparison = read_comparison(folders["comparison"])
    source = facts.plan.preprocess.source
    people = manifest.subjects["test"]
    subject = people[0] if len(people) == 1 else f"{len(people)} people"
    data = ReportData(
        title=f"Gaze redirection: {subject}",
        subtitle=f"{source}, preset {facts.preset}, {platform.machine()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        candidate=candidate,
        candidate_name="DiT renderer",
        pictures=pictures,
        baseline=baseline,
        baseline_name="pixel-shuffle renderer",
        baseline_pictures=baseline_pictures,
        comparison=comparison,
        curves={role: _curves(folders[role]) for role in ("mesh_head", "candidate", "baseline") if role in folders},
        enhancements=[(name, detail) for name, detail in card["enhancements"]],
        stages=list(_stage_rows(facts.outcomes)),
        dropped=manifest.dropped,
        versions={name: version for name, version in package_versions().items() if name in _SHOWN_PACKAGES},
        digests={role: ref.digest() for role, ref in refs.items()} | {"judge": candidate.judge_digest},
        artifacts=refs,
        notes=(*_NOTES[source], _WITHOUT_WEIGHTS),
        seconds=time.monotonic() - facts.started_s,
    )
    return _written(data, out)


@dataclass(frozen=True)
class EvaluationFacts:
    """What an evaluation flow knows and no artifact does."""

    title: str
    subtitle: str
    started_s: float
    outcomes: tuple[StageOutcome, ...]
    candidate_name: str = "candidate"
    baseline_name: str = "baseline"
    notes: tuple[str, ...] = ()


@task(name="write_report", persist_result=False, cache_policy=NO_CACHE)
def write_evaluation_report(refs: Mapping[str, ArtifactRef], facts: EvaluationFacts, out: Path) -> WrittenReport:
    """Writes `report.html`, `report.json` and `figures/` to `out`.

    `refs` by role: data, candidate, candidate_evaluation, and where there are some baseline, baseline_evaluation and
    comparison.
    """
    store = Store.from_environment()
    folders = {role: store.fetch(ref) for role, ref in refs.items()}
    candidate, pictures = _evaluated(folders, "candidate")
    baseline, baseline_pictures = _evaluated(folders, "baseline")
    data = ReportData(
        title=facts.title,
        subtitle=facts.subtitle,
        candidate=candidate,
        candidate_name=facts.candidate_name,
        pictures=pictures,
        baseline=baseline,
        baseline_name=facts.baseline_name,
        baseline_pictures=baseline_pictures,
        comparison=read_comparison(folders["comparison"]) if "comparison" in folders else None,
        stages=list(_stage_rows(facts.outcomes)),
        dropped=store.manifest(refs["candidate_evaluation"]).dropped,
        versions={name: version for name, version in package_versions().items() if name in _SHOWN_PACKAGES},
        digests={role: ref.digest() for role, ref in refs.items()} | candidate.instruments,
        artifacts=refs,
        notes=facts.notes,
        seconds=time.monotonic() - facts.started_s,
    )
    return _written(data, out)


def _evaluated(folders: Mapping[str, Path], role: str) -> tuple[Any, Any]:
    """What was measured and rendered of a role; nothing of a role that is not there."""
    folder = folders.get(f"{role}_evaluation")
    return (read_evaluation(folder), Pictures.load(folder / PICTURES_FILE)) if folder else (None, None)


def _written(data: ReportData, out: Path) -> WrittenReport:
    page, _ = write_report(data, out)
    figures = write_figures(data, out / "figures")
    reasons = data.comparison.reasons if data.comparison else ()
    table = markdown_table(data.candidate, data.candidate_name)
    return WrittenReport(
        page, data.verdict, reasons, data.candidate.numbers, data.candidate.faults, table, tuple(figures)
    )


def publish_report(ledger: FlowLedger, report: WrittenReport) -> None:
    """Puts page, numbers and figures into the flow's MLflow run, and a summary that links to them into Prefect's pages."""
    ledger.run.log_summary({name: value for name, value in report.numbers.items() if value is not None})
    ledger.run.tags({"gazeworks.verdict": report.verdict})
    for file in (report.page, report.page.with_name(JSON_FILE)):
        ledger.run.artifact(file, "report")
    for figure in report.figures:
        ledger.run.artifact(figure, "report/figures")
    lines = [
        f"# {report.verdict.capitalize()}",
        *(f"- fault: {fault}" for fault in report.faults),
        *(f"- {reason}" for reason in report.reasons),
        "",
        report.table,
        "",
        f"MLflow run: [{ledger.run.run_id}]({ledger.run.url}) (artifacts: report/report.html, report/figures)",
        "",
        f"Page: `{report.page}`",
    ]
    create_markdown_artifact("\n".join(lines), key="evaluation-report", description="What an evaluation found")


def _stage_rows(outcomes: Sequence[StageOutcome]) -> Iterator[StageRow]:
    seen: dict[str, int] = {}
    for outcome in outcomes:
        seen[outcome.stage] = seen.get(outcome.stage, 0) + 1
        suffix = " (baseline)" if seen[outcome.stage] > 1 else ""
        detail = outcome.note or ("continued from its last checkpoint" if outcome.how == "resumed" else "")
        name = f"{outcome.stage}{suffix}"
        yield StageRow(name, outcome.how == "cached", round(outcome.seconds, 1), outcome.ref.digest(), detail)


def _curves(folder: Path) -> dict[str, Curve]:
    """Loss terms over steps, as the training loop logged them."""
    curves: dict[str, Any] = {}
    for row in read_history(folder):
        for name, value in row.items():
            if name != "step":
                steps, values = curves.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return curves
