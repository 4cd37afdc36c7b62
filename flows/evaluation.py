"""Evaluation and comparison of trained models: checkpoint -> evaluate -> compare with a baseline or the champion -> report."""

import time
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.evaluation.report import Tolerance
from gaze_core.stages.redirection.evaluate import EvaluateConfig
from gaze_core.stages.redirection.preprocess import PreprocessConfig
from tasks.reports.evaluation import EvaluationFacts, publish_report, write_evaluation_report
from tasks.reports.result import RunResult, finished
from tasks.stage_task import tracked_flow
from tasks.stages.redirection import compare, evaluate, preprocess_recording
from tasks.store.artifacts import Store
from tasks.tracking.registry import champion, model_name, promote, register


class EvaluationResult(RunResult):
    """Where the report is, what it says, and the digests of what was published."""

    reasons: tuple[str, ...]
    faults: tuple[str, ...]
    digests: dict[str, str]
    checkpoints: dict[str, str] = {}
    registry: str = ""  # the candidate's version in the model registry, and whether it is the champion now


@flow(name="evaluation", persist_result=False)
def evaluation(
    checkpoint: ArtifactRef,
    data: ArtifactRef | Path,
    config: EvaluateConfig,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    pairs: ArtifactRef | None = None,
    force: tuple[str, ...] = (),
) -> EvaluationResult:
    """Measures one trained model on unseen frames, and reports.

    `data` is a data set, of which the test frames are measured, or a path of subject files, of which all frames are.
    """
    started_s = time.monotonic()
    with tracked_flow({"evaluate": config.model_dump(mode="json")}, force, out) as ledger:
        data = _data_set(data, runtime)
        measured = evaluate(data, checkpoint, config, runtime, pairs)
        refs = {"data": data, "candidate": checkpoint, "candidate_evaluation": measured}
        facts = EvaluationFacts(_title("Evaluation", data), _subtitle(), started_s, tuple(ledger.outcomes), "model")
        report = write_evaluation_report(refs, facts, out)
        publish_report(ledger, report)
    return EvaluationResult(
        report=report.page, verdict=report.verdict, reasons=report.reasons, faults=report.faults,
        numbers=report.numbers, digests={role: ref.digest() for role, ref in refs.items()},
        checkpoints=dict(report.checkpoints),
    )  # fmt: skip


@flow(name="comparison", persist_result=False)
def comparison(
    candidate: ArtifactRef,
    baseline: ArtifactRef | None,
    data: ArtifactRef | Path,
    config: EvaluateConfig,
    out: Path,
    tolerance: Tolerance = Tolerance(),  # noqa: B008
    runtime: Runtime = Runtime(),  # noqa: B008
    pairs: ArtifactRef | None = None,
    force: tuple[str, ...] = (),
) -> EvaluationResult:
    """Compares the candidate with the baseline on the same pairs. The run ends as `Regressed` if it is worse.

    Without a baseline it is compared with the champion of the model registry, and becomes the champion if it is better;
    without a champion, it must be better than the identity copy.
    """
    started_s = time.monotonic()
    parameters = {"evaluate": config.model_dump(mode="json"), "tolerance": tolerance.model_dump(mode="json")}
    with tracked_flow(parameters, force, out) as ledger:
        data = _data_set(data, runtime)
        name = model_name("redirection", _subjects(data))
        current = champion(name) if baseline is None else None
        other = baseline or (current.ref if current else None)
        refs = {"data": data, "candidate": candidate}
        refs["candidate_evaluation"] = evaluate(data, candidate, config, runtime, pairs)
        if other:
            refs |= {"baseline": other, "baseline_evaluation": evaluate(data, other, config, runtime, pairs)}
        refs["comparison"] = compare(refs["candidate_evaluation"], refs.get("baseline_evaluation"), tolerance)
        against = "baseline" if baseline else f"champion, version {current.version}" if current else "identity copy"
        facts = EvaluationFacts(
            _title("Comparison", data), _subtitle(), started_s, tuple(ledger.outcomes), "candidate", against
        )
        report = write_evaluation_report(refs, facts, out)
        publish_report(ledger, report)
        registered = ""
        if baseline is None:
            version = register(name, candidate)
            moved = promote(version, report.verdict, current)  # type: ignore[arg-type]
            registered = f"{name} version {version.version}{', now the champion' if moved else ''}"
            ledger.run.tags({"gazeworks.registered": registered})
    result = EvaluationResult(
        report=report.page, verdict=report.verdict, reasons=report.reasons, faults=report.faults,
        numbers=report.numbers, digests={role: ref.digest() for role, ref in refs.items()},
        checkpoints=dict(report.checkpoints), registry=registered,
    )  # fmt: skip
    return finished(result, report.reasons)


def _data_set(data: ArtifactRef | Path, runtime: Runtime) -> ArtifactRef:
    if isinstance(data, ArtifactRef):
        return data
    return preprocess_recording(data, PreprocessConfig(source="synthetic", use="test"), runtime)


def _subjects(data: ArtifactRef) -> tuple[str, ...]:
    return Store.from_environment().manifest(data).subjects.get("test", ())


def _title(what: str, data: ArtifactRef) -> str:
    subjects = _subjects(data)
    return f"{what}: {', '.join(subjects) if len(subjects) <= 3 else f'{len(subjects)} subjects'}"


def _subtitle() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
