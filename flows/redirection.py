"""Gaze redirection: preprocess -> MeshHead -> GazeGaussian -> evaluate -> compare with the baseline -> report."""

import time
from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from prefect.states import Completed
from pydantic import Field

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Config, Runtime
from gaze_core.evaluation.judge import CnnJudge, require_unseen
from gaze_core.plans.redirection import PresetName, RedirectionPlan, Source, redirection_plan
from gaze_core.stages.redirection.evaluate import require_pairs
from gaze_core.synthesis.packs import pack_path
from tasks.reports.evaluation import RunFacts, publish_report, write_redirection_report
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
from tasks.store.roots import input_path, output_path, require_inputs

StageName = Literal["preprocess", "mesh_head", "gaze_gaussian", "evaluate", "compare"]


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
        data = preprocess_recording(recording, plan.preprocess, runtime)
        _require_unseen_by_judge(data, plan)
        require_pairs(plan.evaluate, Store.from_environment().fetch(data))  # said before training, as the judge's
        head = train_mesh_head(data, plan.mesh_head, runtime)
        candidate = train_gaze_gaussian(data, head, plan.gaze_gaussian, runtime)
        baseline = train_gaze_gaussian(data, head, plan.baseline, runtime)
        measures = plan.evaluate.with_available_instruments()
        candidate_evaluation = evaluate(data, candidate, measures, runtime)
        baseline_evaluation = evaluate(data, baseline, measures, runtime)
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
        publish_report(ledger, report)
    result = RedirectionResult(report=report.page, verdict=report.verdict, numbers=report.numbers)
    if report.verdict == "regressed":
        return Completed(name="Regressed", message="; ".join(report.reasons), data=result)  # type: ignore[return-value]
    return result


def _require_unseen_by_judge(data: ArtifactRef, plan: RedirectionPlan) -> None:
    """Said before the training that would be for nothing."""
    if plan.evaluate.judge == "cnn":
        judge = CnnJudge()
        for subject in Store.from_environment().manifest(data).subjects["test"]:
            require_unseen(judge, subject)


@flow(name="redirect", persist_result=False)
def redirect(
    recording: str = "",
    source: Source = "synthetic",
    preset: PresetName = "small",
    changes: list[str] = [],  # noqa: B006 (the default of a form; nothing changes it)
    out: str = "reports/redirect",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
    processes: Annotated[int, Field(ge=1)] = 1,
    force: list[StageName] = [],  # noqa: B006
) -> RedirectionResult:
    """The redirection pipeline as a deployment: a form of plain values. Ends as Regressed if the candidate is worse.

    Args:
        recording: Video, images or subject files, below a folder of the worker's GAZEWORKS_INPUTS. Empty: the
            shipped subject.
        source: What the recording is.
        preset: Size of the models.
        changes: Changed settings, one an entry: gaze_gaussian.fit.num_steps=1000
        out: Folder of the report, below a folder of the worker's GAZEWORKS_OUTPUTS (or else: reports).
        device: Where to compute.
        precision: Of the training's arithmetic.
        processes: That share each batch of training, one for each device of the worker's machine.
        force: Stages to compute anew although nothing has changed.
    """
    path = input_path(recording) if recording else pack_path("synthetic_128")
    folder = output_path(out)
    require_recording(path, source)
    plan = redirection_plan(preset, source, changes)
    require_inputs(plan)
    runtime = Runtime(device=device, precision=precision, num_processes=processes, progress=False)
    return redirection.fn(path, plan, folder, runtime, preset, tuple(force))
