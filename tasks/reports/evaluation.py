"""The report of a run: reads what the stages published and writes one page. Not cached: it lists the cached stages."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from gaze_core.artifacts import ArtifactRef
from gaze_core.evaluation.last_block import LastBlock
from gaze_core.evaluation.page import ReportData
from gaze_core.evaluation.report import EvaluationReport
from gaze_core.evaluation.report_files import write_figures, write_report
from gaze_core.evaluation.report_images import ReportImages
from gaze_core.evaluation.sweep_blocks import sweep_sentences
from gaze_core.evaluation.tables import markdown_table
from gaze_core.plans.redirection import RedirectionPlan
from gaze_core.reports.page import JSON_FILE
from gaze_core.stages.redirection.compare import read_comparison, read_evaluation
from gaze_core.stages.redirection.evaluate import IMAGES_FILE
from gaze_core.training.checkpoint import WEIGHTS_FILE, read_card
from tasks.reports.sources import sources_of, training_curves
from tasks.stage_task import FlowLedger, StageOutcome
from tasks.store.artifacts import Store

_NOTES = {
    "synthetic": (
        "Labels are exact: the subject is rendered from a model of a head, and is not a real person.",
        "The judge is a small network trained on other rendered people. It takes no part in training the models.",
    ),
    "video": (
        "Labels and judge are the same reader of eye landmarks, learned from rendered people, so the gaze errors measure "
        "how well the renderings agree with the target gaze, not how accurate the labels are: those are off by about 7 "
        "degrees (measured on 40 photographs of people, docs/evaluation.md).",
        "The judge predicts no head direction, so that error is not available.",
        "A second reader, OpenVINO gaze-estimation-adas-0002, was trained by others on other people; where it is at hand its "
        "predictions stand in a row of their own.",
    ),
}
_START_NOTES = {
    True: "The candidate starts from the known head, a model of rendered people that ships with the package; the baseline, if "
    "there is one, from scratch. Their difference is therefore that of the starts as well.",
    False: "Training starts from scratch: no model of other people is used.",
}
_LOSS_IN_NOTES = "perceptual loss"


@dataclass(frozen=True)
class RunFacts:
    """Facts about a redirection run that no artifact holds."""

    preset: str
    plan: RedirectionPlan
    started_s: float  # on the monotonic clock
    outcomes: tuple[StageOutcome, ...]


@dataclass(frozen=True)
class WrittenReport:
    """Path and summary of a written report."""

    page: Path
    verdict: str
    reasons: tuple[str, ...]
    numbers: dict[str, float | None]
    faults: tuple[str, ...] = ()  # failed checks
    cannot_tell: tuple[str, ...] = ()  # those that cannot be answered, and why
    sweep: tuple[str, ...] = ()  # in words
    table: str = ""  # the numbers, as Markdown
    figures: tuple[Path, ...] = ()
    checkpoints: Mapping[str, str] = field(default_factory=dict)  # model -> path or address of its checkpoint


@task(name="write_report", persist_result=False, cache_policy=NO_CACHE)
def write_redirection_report(refs: Mapping[str, ArtifactRef], facts: RunFacts, out: Path) -> WrittenReport:
    """Writes `report.html` and `report.json` to `out`.

    `refs` by role: data, candidate, candidate_evaluation, comparison, and where there is one mesh_head, baseline and
    baseline_evaluation; of a recording also candidate_last_block and baseline_last_block.
    """
    store = Store.from_environment()
    folders = {role: store.fetch(ref) for role, ref in refs.items()}
    candidate, images = _evaluated(folders["candidate_evaluation"])
    other = folders.get("baseline_evaluation")
    baseline, baseline_images = _evaluated(other) if other else (None, None)
    manifest = store.manifest(refs["data"])
    card = read_card(folders["candidate"] / WEIGHTS_FILE, "gaze_gaussian")
    enhancements = [(name, detail) for name, detail in card["enhancements"]]
    comparison = read_comparison(folders["comparison"])
    source = facts.plan.preprocess.source
    people = manifest.subjects["test"]
    subject = people[0] if len(people) == 1 else f"{len(people)} people"
    data = ReportData(
        title=f"Gaze redirection: {subject}",
        subtitle=f"{source}, preset {facts.preset}, {platform.machine()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        candidate=candidate,
        candidate_name="known head" if facts.plan.adapt else "DiT renderer",
        images=images,
        baseline=baseline,
        baseline_name="from scratch, pixel-shuffle renderer" if facts.plan.adapt else "pixel-shuffle renderer",
        baseline_images=baseline_images,
        last_block=_last_block(folders),
        comparison=comparison,
        curves={
            role: training_curves(folders[role]) for role in ("mesh_head", "candidate", "baseline") if role in folders
        },
        enhancements=enhancements,
        sources=sources_of(
            store, refs, facts.outcomes, manifest.dropped, {"judge": candidate.judge_digest}, "baseline"
        ),
        notes=(*_NOTES[source], _START_NOTES[facts.plan.adapt is not None], *_loss_notes(enhancements)),
        seconds=time.monotonic() - facts.started_s,
    )
    return _written(data, out)


@dataclass(frozen=True)
class EvaluationFacts:
    """Facts about an evaluation run that no artifact holds."""

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
    candidate, images = _evaluated(folders["candidate_evaluation"])
    other = folders.get("baseline_evaluation")
    baseline, baseline_images = _evaluated(other) if other else (None, None)
    data = ReportData(
        title=facts.title,
        subtitle=facts.subtitle,
        candidate=candidate,
        candidate_name=facts.candidate_name,
        images=images,
        baseline=baseline,
        baseline_name=facts.baseline_name,
        baseline_images=baseline_images,
        last_block=_last_block(folders),
        comparison=read_comparison(folders["comparison"]) if "comparison" in folders else None,
        sources=sources_of(
            store,
            refs,
            facts.outcomes,
            store.manifest(refs["candidate_evaluation"]).dropped,
            candidate.instruments,
            "baseline",
        ),  # fmt: skip
        notes=facts.notes,
        seconds=time.monotonic() - facts.started_s,
    )
    return _written(data, out)


def _evaluated(folder: Path) -> tuple[EvaluationReport, ReportImages]:
    """The evaluation report and the rendered images of an evaluation."""
    return read_evaluation(folder), ReportImages.load(folder / IMAGES_FILE)


def _last_block(folders: Mapping[str, Path]) -> LastBlock | None:
    """What was measured and rendered of the end of a recording, if it was."""
    if "candidate_last_block" not in folders:
        return None
    other = folders.get("baseline_last_block")
    return LastBlock(*_evaluated(folders["candidate_last_block"]), *(_evaluated(other) if other else ()))


def _written(data: ReportData, out: Path) -> WrittenReport:
    page, _ = write_report(data, out)
    figures = write_figures(data, out / "figures")
    reasons = data.comparison.reasons if data.comparison else ()
    table = markdown_table(data.candidate, data.candidate_name)
    checkpoints = {row.name: row.checkpoint for row in data.sources.trained}
    numbers = data.candidate.numbers | (data.last_block.numbers if data.last_block else {})
    return WrittenReport(
        page,
        data.verdict,
        reasons,
        numbers,
        data.candidate.faults,
        data.candidate.cannot_tell,
        tuple(sweep_sentences(data.candidate)),
        table,
        tuple(figures),
        checkpoints,
    )


def publish_report(ledger: FlowLedger, report: WrittenReport) -> None:
    """Logs page, numbers and figures to the flow's MLflow run, and a summary with a link to Prefect's pages."""
    ledger.run.log_summary({name: value for name, value in report.numbers.items() if value is not None})
    ledger.run.tags({"gazeworks.verdict": report.verdict})
    for file in (report.page, report.page.with_name(JSON_FILE)):
        ledger.run.artifact(file, "report")
    for figure in report.figures:
        ledger.run.artifact(figure, "report/figures")
    lines = [
        f"# {report.verdict.capitalize()}",
        *(f"- failed check: {fault}" for fault in report.faults),
        *(f"- cannot tell: {question}" for question in report.cannot_tell),
        *(f"- {line}" for line in report.sweep),
        *(f"- {reason}" for reason in report.reasons),
        "",
        report.table,
        "",
        f"MLflow run: [{ledger.run.run_id}]({ledger.run.url}) (artifacts: report/report.html, report/figures)",
        "",
        f"Page: `{report.page}`",
    ]
    create_markdown_artifact("\n".join(lines), key="evaluation-report", description="Result of an evaluation")


def _loss_notes(enhancements: Sequence[tuple[str, str]]) -> list[str]:
    """Notes on the perceptual loss, which a comparison with published models must consider."""
    return [f"{name.capitalize()}: {detail}." for name, detail in enhancements if name == _LOSS_IN_NOTES]
