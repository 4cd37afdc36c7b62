"""Gaze redirection: preprocess -> MeshHead -> GazeGaussian -> evaluate -> compare with the baseline -> report."""

import time
from pathlib import Path

from prefect import flow
from prefect.states import Completed

from gaze_core.config import Config, Runtime
from gaze_core.presets import RedirectionPlan
from tasks.recordings import import_recording
from tasks.reports import RunFacts, write_redirection_report
from tasks.stage_task import tracked_flow
from tasks.stages import compare, evaluate, preprocess, train_gaze_gaussian, train_mesh_head


class RedirectionResult(Config):
    """Where the report is, and the numbers that matter."""

    report: Path
    verdict: str
    numbers: dict[str, float | None]


@flow(name="redirection", persist_result=False)
def redirection(
    recording: Path,
    plan: RedirectionPlan,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    preset: str = "custom",
    force: tuple[str, ...] = (),
) -> RedirectionResult:
    """Trains the candidate and the baseline renderer on one recording and reports which is better.

    A worse candidate ends the run as a completed state named `Regressed`. `force` names stages to compute anew.
    """
    started_s = time.monotonic()
    with tracked_flow({"plan": plan.model_dump(mode="json"), "preset": preset}, force) as ledger:
        data = preprocess(import_recording(recording), plan.preprocess, runtime)
        head = train_mesh_head(data, plan.mesh_head, runtime)
        candidate = train_gaze_gaussian(data, head, plan.gaze_gaussian, runtime)
        baseline = train_gaze_gaussian(data, head, plan.baseline, runtime)
        candidate_evaluation = evaluate(data, candidate, plan.evaluate, runtime)
        baseline_evaluation = evaluate(data, baseline, plan.evaluate, runtime)
        comparison = compare(candidate_evaluation, baseline_evaluation, plan.tolerance)
        refs = {
            "data": data,
            "mesh_head": head,
            "candidate": candidate,
            "baseline": baseline,
            "candidate_evaluation": candidate_evaluation,
            "baseline_evaluation": baseline_evaluation,
            "comparison": comparison,
        }
        facts = RunFacts(preset, plan, started_s, tuple(ledger.outcomes))
        report = write_redirection_report(refs, facts, out)
        ledger.run.log_summary({name: value for name, value in report.numbers.items() if value is not None})
        ledger.run.artifact(report.folder, "report")
    result = RedirectionResult(report=report.page, verdict=report.verdict, numbers=report.numbers)
    if report.verdict == "regressed":
        return Completed(name="Regressed", message="; ".join(report.reasons), data=result)  # type: ignore[return-value]
    return result
