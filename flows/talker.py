"""Talker: prepare -> coarse -> fine -> render -> evaluate -> compare -> report; also preparing, rendering, measuring alone.

The model is compared with the champion of the model registry for this subject, or with the nearest training frame where there
is none; a better one becomes the champion.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.plans.preflight import preflight
from gaze_core.plans.talker import TalkerPlan, is_subject
from gaze_core.stages.talker.prepare import TalkerPrepareConfig
from gaze_core.stages.talker.render import TalkerRenderConfig
from gaze_core.talker.evaluation import TalkerEvaluateConfig
from gaze_core.talker.report import TalkerTolerance
from tasks.reports.result import finished
from tasks.reports.talker import FILES, FILM, ReportFacts, TalkerReport, verdict_of, write_talker_report
from tasks.stage_task import FlowLedger, tracked_flow
from tasks.stages.talker import coarse, compare, evaluate, fine, import_file, import_talker, prepare, render
from tasks.store.artifacts import Store
from tasks.store.recordings import naming_users_file
from tasks.tracking.registry import RegisteredModel, champion, model_name, promote, register


@flow(name="talker", persist_result=False)
def talker(
    recording: Path,
    plan: TalkerPlan,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    preset: str = "custom",
    force: tuple[str, ...] = (),
) -> TalkerReport:
    """Trains a talking head on a recording, renders its held-out time as a film, and measures it.

    If it is worse than the champion, the run ends in a completed state named `Regressed`.
    """
    started_s = time.monotonic()
    preflight(plan, {"recording": recording}, out, runtime)
    with tracked_flow({"plan": plan.model_dump(mode="json"), "preset": preset}, force, out) as ledger:
        data = _subject(recording, plan.prepare, runtime)
        canonical = coarse(data, plan.coarse, runtime)
        candidate = fine(data, canonical, plan.fine, runtime)
        refs = {"data": data, "coarse": canonical, "candidate": candidate}
        refs["film"] = render(data, candidate, plan.render, runtime)
        subtitle = f"{recording.name}, preset {preset}"
        report = _judged(refs, plan.evaluate, plan.tolerance, None, subtitle, started_s, out, runtime, ledger)
    return finished(report, report.reasons)


@flow(name="talker-prepare", persist_result=False)
def prepare_only(
    recording: Path,
    config: TalkerPrepareConfig,
    runtime: Runtime = Runtime(),  # noqa: B008
    force: tuple[str, ...] = (),
) -> ArtifactRef:
    """Makes a talker subject of a video or of a published folder."""
    with tracked_flow({"config": config.model_dump(mode="json")}, force):
        return _subject(recording, config, runtime)


@flow(name="talker-render", persist_result=False)
def render_only(
    checkpoint: ArtifactRef,
    data: ArtifactRef,
    config: TalkerRenderConfig,
    sound: Path | None = None,
    gaze: Path | None = None,
    blinks: Path | None = None,
    runtime: Runtime = Runtime(),  # noqa: B008
    force: tuple[str, ...] = (),
) -> ArtifactRef:
    """Renders a film of a trained head."""
    with tracked_flow({"config": config.model_dump(mode="json")}, force):
        files = {
            name: import_file(path) for name, path in (("sound", sound), ("gaze", gaze), ("blinks", blinks)) if path
        }
        return render(data, checkpoint, config, runtime, **files)


@flow(name="talker-evaluation", persist_result=False)
def talker_evaluation(
    candidate: ArtifactRef,
    baseline: ArtifactRef | None,
    data: ArtifactRef,
    config: TalkerEvaluateConfig,
    tolerance: TalkerTolerance,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008
    force: tuple[str, ...] = (),
) -> TalkerReport:
    """Measures a trained head, and compares it with another one or with the nearest training frame."""
    started_s = time.monotonic()
    with tracked_flow({"config": config.model_dump(mode="json")}, force, out) as ledger:
        refs = {"data": data, "candidate": candidate}
        name = candidate.name
        report = _judged(refs, config, tolerance, baseline, name, started_s, out, runtime, ledger, register_it=False)
    return finished(report, report.reasons)


def _subject(recording: Path, config: TalkerPrepareConfig, runtime: Runtime) -> ArtifactRef:
    """A prepared subject as it is, or what preparing makes of anything else."""
    if is_subject(recording):
        return import_talker(recording)
    imported = import_file(recording)
    with naming_users_file(recording, imported):
        return prepare(imported, config, runtime)


def _judged(
    refs: dict[str, ArtifactRef], config: TalkerEvaluateConfig, tolerance: TalkerTolerance, baseline: ArtifactRef | None,
    subtitle: str, started_s: float, out: Path, runtime: Runtime, ledger: FlowLedger, register_it: bool = True,
) -> TalkerReport:  # fmt: skip
    """Evaluates the candidate and its rival, compares, registers, reports."""
    refs["evaluation"] = evaluate(refs["data"], refs["candidate"], config, runtime)
    people = Store.from_environment().manifest(refs["evaluation"]).subjects["test"]
    name = model_name("talker", (*people, refs["data"].digest()))
    current = champion(name) if register_it and baseline is None else None
    rival = baseline or (current.ref if current else None)
    if rival is not None and rival.sha256 != refs["candidate"].sha256:
        refs["baseline"] = rival
        refs["baseline_evaluation"] = evaluate(refs["data"], rival, config, runtime)
    refs["comparison"] = compare(refs["evaluation"], refs.get("baseline_evaluation"), tolerance)
    registry = _registered(name, refs, current, ledger) if register_it else ""
    facts = ReportFacts(
        title=f"Talking head: {', '.join(people)}",
        subtitle=f"{subtitle}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        outcomes=tuple(ledger.outcomes),
        seconds=time.monotonic() - started_s,
        registry=registry,
    )
    report = write_talker_report(refs, facts, out)
    ledger.run.log_summary({name: value for name, value in report.numbers.items() if value is not None})
    ledger.run.tags({"gazeworks.verdict": report.verdict})
    for file in (*FILES, *([FILM] if report.film else [])):
        ledger.run.artifact(out / file, "report")
    return report


def _registered(name: str, refs: dict[str, ArtifactRef], current: RegisteredModel | None, ledger: FlowLedger) -> str:
    """Registers the candidate and makes it the champion if it is better; says so in a line."""
    version = register(name, refs["candidate"])
    moved = promote(version, verdict_of(refs["comparison"]), current)
    line = f"{name} version {version.version}{', now the champion' if moved else ''}"
    ledger.run.tags({"gazeworks.registered": line})
    return line
