"""Gaze redirection: preprocess -> MeshHead -> GazeGaussian -> evaluate -> compare with the baseline -> report."""

import time
from pathlib import Path

from prefect import flow

from gaze_core.config import Runtime
from gaze_core.plans.preflight import preflight
from gaze_core.plans.redirection import RedirectionPlan
from gaze_core.stages.redirection.evaluate import require_pairs, require_unseen_by_judge
from tasks.reports.evaluation import RunFacts, publish_report, write_redirection_report
from tasks.reports.result import RunResult, finished, number_lines
from tasks.stage_task import tracked_flow
from tasks.stages.redirection import (
    compare,
    evaluate,
    preprocess_recording,
    train_gaze_gaussian,
    train_mesh_head,
)
from tasks.store.artifacts import Store
from tasks.store.recordings import require_recording

_HEADLINE = ("gaze_error_deg", "identity_copy_gaze_error_deg", "psnr_db")


class RedirectionResult(RunResult):
    """Path of the report, verdict and main numbers."""

    def headline(self) -> list[str]:
        """The numbers that matter most, and the verdict."""
        numbers = number_lines({name: self.numbers.get(name) for name in _HEADLINE})
        return [*numbers, f"{'verdict against the baseline':32} {self.verdict}"]


@flow(name="redirection", persist_result=False)
def redirection(
    recording: Path,
    plan: RedirectionPlan,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    preset: str = "custom",
    force: tuple[str, ...] = (),
    test: Path | None = None,
) -> RedirectionResult:
    """Trains a candidate and, if the plan has one, a baseline on one recording, and reports which is better.

    Subject files of a folder are split by subject; those of `test` are evaluated only.
    If the candidate is worse, the run ends in a completed state named `Regressed`. `force` names stages to compute again.
    """
    started_s = time.monotonic()
    require_recording(recording, plan.preprocess.source)
    if test:
        require_recording(test, "synthetic")
    preflight(plan, {"recording": recording, "test": test}, out, runtime)
    with tracked_flow({"plan": plan.model_dump(mode="json"), "preset": preset}, force, out) as ledger:
        data = preprocess_recording(recording, plan.preprocess, runtime, test)
        plan = plan.for_recording(recording)
        folder = Store.from_environment().fetch(data)  # refused before training, not after it
        require_unseen_by_judge(plan.evaluate, folder)
        require_pairs(plan.evaluate, folder)
        head = train_mesh_head(data, plan.mesh_head, runtime)
        candidate = train_gaze_gaussian(data, head, plan.gaze_gaussian, runtime)
        refs = {"data": data, "mesh_head": head, "candidate": candidate}
        if plan.baseline:
            refs["baseline"] = train_gaze_gaussian(data, head, plan.baseline, runtime)
        measures = plan.evaluate.with_available_metrics()
        for role in [role for role in ("candidate", "baseline") if role in refs]:
            refs[f"{role}_evaluation"] = evaluate(data, refs[role], measures, runtime)
        refs["comparison"] = compare(refs["candidate_evaluation"], refs.get("baseline_evaluation"), plan.tolerance)
        facts = RunFacts(preset, plan, started_s, tuple(ledger.outcomes))
        report = write_redirection_report(refs, facts, out)
        publish_report(ledger, report)
    result = RedirectionResult(
        report=report.page, verdict=report.verdict, numbers=report.numbers, faults=report.faults,
        checkpoints=report.checkpoints,
    )  # fmt: skip
    return finished(result, report.reasons)
