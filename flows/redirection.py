"""Gaze redirection: preprocess -> MeshHead -> GazeGaussian -> evaluate -> compare with the baseline -> report.

From a known head: preprocess -> the head prior, adapted to the person -> evaluate -> compare -> report.
"""

import time
from pathlib import Path

from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.plans.preflight import preflight
from gaze_core.plans.redirection import RedirectionPlan
from gaze_core.stages.redirection.evaluate import require_pairs, require_unseen_by_judge
from gaze_core.stages.redirection.head_prior import HeadPriorConfig
from tasks.reports.evaluation import RunFacts, publish_report, write_redirection_report
from tasks.reports.result import RunResult, finished, number_lines
from tasks.stage_task import tracked_flow
from tasks.stages.redirection import (
    compare,
    evaluate_held_out,
    head_prior,
    invert,
    preprocess_recording,
    train_gaze_gaussian,
    train_mesh_head,
)
from tasks.store.artifacts import Store
from tasks.store.recordings import require_recording

_HEADLINE = ("gaze_error_deg", "identity_copy_gaze_error_deg", "psnr_db")
_LAST_BLOCK = ("last_block_gaze_error_deg", "last_block_psnr_db")


class RedirectionResult(RunResult):
    """Path of the report, verdict and main numbers."""

    def headline(self) -> list[str]:
        """The numbers that matter most, and the verdict."""
        numbers = number_lines({name: self.numbers.get(name) for name in _HEADLINE} | self._last_block())
        return [*numbers, f"{'verdict against the baseline':32} {self.verdict}"]

    def _last_block(self) -> dict[str, float | None]:
        """Of a recording, what the same head scores beyond the time of its training."""
        return {name: value for name, value in self.numbers.items() if name in _LAST_BLOCK}


def _trained(data: ArtifactRef, plan: RedirectionPlan, runtime: Runtime) -> dict[str, ArtifactRef]:
    """The candidate, the baseline if there is one, and the MeshHead of what starts from scratch."""
    refs: dict[str, ArtifactRef] = {}
    if plan.adapt:
        prior = head_prior(HeadPriorConfig.shipped(), runtime)
        refs["candidate"] = invert(prior, None, data, plan.adapt, runtime)
    if plan.baseline or not plan.adapt:
        refs["mesh_head"] = train_mesh_head(data, plan.mesh_head, runtime)
    if not plan.adapt:
        refs["candidate"] = train_gaze_gaussian(data, refs["mesh_head"], plan.gaze_gaussian, runtime)
    if plan.baseline:
        refs["baseline"] = train_gaze_gaussian(data, refs["mesh_head"], plan.baseline, runtime)
    return refs


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

    A plan with `adapt` adapts the shipped head prior instead of training the candidate from scratch; the baseline always
    starts from scratch.

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
        refs = {"data": data, **_trained(data, plan, runtime)}
        measures = plan.evaluate.with_available_metrics()
        for role in [role for role in ("candidate", "baseline") if role in refs]:
            refs |= evaluate_held_out(role, data, refs[role], measures, runtime)
        refs["comparison"] = compare(refs["candidate_evaluation"], refs.get("baseline_evaluation"), plan.tolerance)
        facts = RunFacts(preset, plan, started_s, tuple(ledger.outcomes))
        report = write_redirection_report(refs, facts, out)
        publish_report(ledger, report)
    result = RedirectionResult(
        report=report.page, verdict=report.verdict, numbers=report.numbers, faults=report.faults,
        cannot_tell=report.cannot_tell, sweep=report.sweep,
        checkpoints=report.checkpoints,
    )  # fmt: skip
    return finished(result, report.reasons)
