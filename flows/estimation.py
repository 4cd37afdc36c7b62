"""Gaze estimation: convert -> train single frame -> features -> train temporal head -> evaluate -> compare -> report.

The temporal model is compared with the champion of the model registry, or with its own single frame where there is none or
where it is the champion itself; a better one becomes the champion.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.estimation.checkpoints import load_single
from gaze_core.estimation.conversion import source_files
from gaze_core.plans.estimation import EstimationPlan, converted_index
from gaze_core.plans.preflight import preflight
from tasks.reports.estimation import FILES, EstimationReport, ReportFacts, verdict_of, write_estimation_report
from tasks.reports.result import finished
from tasks.stage_task import FlowLedger, tracked_flow
from tasks.stages.estimation import (
    compare,
    convert,
    evaluate,
    features,
    import_eve,
    import_recordings,
    train_single,
    train_temporal,
)
from tasks.store.artifacts import Store
from tasks.tracking.registry import RegisteredModel, champion, model_name, promote, register


@flow(name="estimation", persist_result=False)
def estimation(
    data: Path,
    plan: EstimationPlan,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    preset: str = "custom",
    force: tuple[str, ...] = (),
) -> EstimationReport:
    """Trains both models on a folder of recordings and reports how well they read unseen people.

    If the temporal model is worse than the champion, the run ends in a completed state named `Regressed`.
    """
    started_s = time.monotonic()
    preflight(plan, {"data": data}, out, runtime)
    with tracked_flow({"plan": plan.model_dump(mode="json"), "preset": preset}, force, out) as ledger:
        recordings, warnings = _recordings(data, plan, runtime)
        single = train_single(recordings, plan.single, runtime)
        read = features(recordings, single, plan.features, runtime)
        temporal = train_temporal(recordings, read, plan.temporal, runtime)
        refs = {"data": recordings, "single": single, "features": read, "candidate": temporal}
        report = _judged(refs, plan, None, f"{data.name}, preset {preset}", started_s, warnings, out, runtime, ledger)
    return finished(report, report.reasons)


@flow(name="estimation-evaluation", persist_result=False)
def estimation_evaluation(
    candidate: ArtifactRef,
    baseline: ArtifactRef | None,
    data: Path | ArtifactRef,
    plan: EstimationPlan,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008
    register_it: bool = False,
    force: tuple[str, ...] = (),
) -> EstimationReport:
    """Measures a trained temporal model, and compares it with another one or with the champion.

    Without `baseline` and with `register_it` false it is compared with its own single frame.
    """
    started_s = time.monotonic()
    with tracked_flow({"plan": plan.model_dump(mode="json")}, force, out) as ledger:
        single = single_of(candidate)
        plan = plan.model_copy(update={"convert": plan.convert.model_copy(update=crop_sizes(single))})
        given, warnings = (data, ()) if isinstance(data, ArtifactRef) else _recordings(data, plan, runtime)
        refs = {"data": given, "single": single, "candidate": candidate}
        refs["features"] = features(given, single, plan.features, runtime)
        report = _judged(
            refs, plan, baseline, candidate.name, started_s, warnings, out, runtime, ledger, register_it
        )  # fmt: skip
    return finished(report, report.reasons)


def single_of(temporal: ArtifactRef) -> ArtifactRef:
    """The single-frame model on which a temporal model stands.

    Raises:
        BadInput: the checkpoint is of another stage.
    """
    store = Store.from_environment()
    read = store.manifest(temporal).parents.get("features")
    single = store.manifest(read).parents.get("single") if read else None
    if single is None:
        raise BadInput(f"{temporal.name}: not a temporal model of gazeworks estimate train")
    return single


def crop_sizes(single: ArtifactRef) -> dict[str, int]:
    """Sides of the crops that a single-frame model reads, by their names in the conversion."""
    _, card = load_single(Store.from_environment().fetch(single), Runtime(device="cpu"))
    return {name: card["network"][name] for name in ("face_px", "eye_px")}


def _judged(
    refs: dict[str, ArtifactRef], plan: EstimationPlan, baseline: ArtifactRef | None, subtitle: str, started_s: float,
    warnings: tuple[str, ...], out: Path, runtime: Runtime, ledger: FlowLedger, register_it: bool = True,
) -> EstimationReport:  # fmt: skip
    """Evaluates the candidate and its rival, compares, registers, reports."""
    refs["evaluation"] = evaluate(refs["data"], refs["features"], refs["candidate"], plan.evaluate, runtime)
    people = Store.from_environment().manifest(refs["evaluation"]).subjects["test"]
    name = model_name("estimation", people)
    current = champion(name) if register_it and baseline is None else None
    rival = baseline or (current.ref if current else None)
    if rival is not None and rival.sha256 != refs["candidate"].sha256:
        refs["baseline"] = rival
        read = features(refs["data"], single_of(rival), plan.features, runtime)
        refs["baseline_evaluation"] = evaluate(refs["data"], read, rival, plan.evaluate, runtime)
    refs["comparison"] = compare(refs["evaluation"], refs.get("baseline_evaluation"), plan.tolerance)
    registry = _registered(name, refs, current, ledger) if register_it and baseline is None else ""
    facts = ReportFacts(
        title=f"Gaze estimation: {', '.join(people) if len(people) <= 3 else f'{len(people)} people'}",
        subtitle=f"{subtitle}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        outcomes=tuple(ledger.outcomes),
        seconds=time.monotonic() - started_s,
        warnings=warnings,
        registry=registry,
    )
    report = write_estimation_report(refs, facts, out)
    ledger.run.log_summary({name: value for name, value in report.numbers.items() if value is not None})
    ledger.run.tags({"gazeworks.verdict": report.verdict})
    for file in FILES:
        ledger.run.artifact(out / file, "report")
    return report


def _registered(name: str, refs: dict[str, ArtifactRef], current: RegisteredModel | None, ledger: FlowLedger) -> str:
    """Registers the candidate and makes it the champion if it is better; says so in a line."""
    version = register(name, refs["candidate"])
    moved = promote(version, verdict_of(refs["comparison"]), current)
    line = f"{name} version {version.version}{', now the champion' if moved else ''}"
    ledger.run.tags({"gazeworks.registered": line})
    return line


def _recordings(data: Path, plan: EstimationPlan, runtime: Runtime) -> tuple[ArtifactRef, tuple[str, ...]]:
    """The converted recordings of a folder, and what is missing in it."""
    if converted_index(data):
        return import_recordings(data), ()
    _, missing = source_files(data, plan.convert)
    return convert(import_eve(data, plan.convert), plan.convert, runtime), tuple(missing)
