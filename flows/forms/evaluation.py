"""Evaluation, comparison and the downstream test as deployments: forms of plain values, paths below the worker's roots."""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from pydantic import Field

from flows.augmentation import AugmentationResult, augmentation
from flows.evaluation import EvaluationResult, comparison, evaluation
from flows.references import data_of, find_data, find_reference
from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.evaluation.protocols import protocol as protocol_named
from gaze_core.stages.redirection.downstream import DownstreamConfig
from gaze_core.stages.redirection.evaluate import EvaluateConfig
from tasks.store.roots import input_path, output_path

Device = Literal["auto", "cpu", "cuda"]
Judge = Literal["cnn", "iris"]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


@flow(name="evaluate", persist_result=False)
def evaluate(
    checkpoint: str = "reports/redirect", data: str = "", protocol: str = "", judge: Judge = "cnn", seed: Seed = 0,
    out: str = "reports/evaluation", device: Device = "auto", force: list[Literal["evaluate"]] = [],  # noqa: B006
) -> EvaluationResult:  # fmt: skip
    """Measures a trained model on frames that no training has seen, and reports.

    Args:
        checkpoint: Folder of a report, whose candidate is meant, or PATH:baseline; or the folder of a trained model.
        data: Report, data set, or subject files to measure on. Empty: the test frames of the model's own data.
        protocol: A published protocol by name. Empty: pairs drawn from the test frames.
        judge: Who reads the gaze in the pictures: the shipped network, or the iris model for recordings of people.
        seed: Of the pairs.
        out: Folder of the report, below a folder of the worker's GAZEWORKS_OUTPUTS (or else: reports).
        device: Where to compute.
        force: Stages to compute anew although nothing has changed.
    """
    model, source = _reference(checkpoint), _data(data, checkpoint)
    config = _config(protocol, judge, seed)
    return evaluation.fn(model, source, config, output_path(out), _runtime(device), None, tuple(force))


@flow(name="compare", persist_result=False)
def compare(
    candidate: str = "reports/redirect", baseline: str = "champion", data: str = "", protocol: str = "",
    judge: Judge = "cnn", seed: Seed = 0, out: str = "reports/comparison", device: Device = "auto",
    force: list[Literal["evaluate", "compare"]] = [],  # noqa: B006
) -> EvaluationResult:  # fmt: skip
    """Says whether a model is better than another on the same pairs. Better than the champion, it becomes the champion.

    Args:
        candidate: Folder of a report, whose candidate is meant, or of a trained model.
        baseline: The same, PATH:baseline for a report's baseline, or champion for that of the model registry.
        data: Report, data set, or subject files to measure on. Empty: the test frames of the candidate's own data.
        protocol: A published protocol by name. Empty: pairs drawn from the test frames.
        judge: Who reads the gaze in the pictures: the shipped network, or the iris model for recordings of people.
        seed: Of the pairs.
        out: Folder of the report, below a folder of the worker's GAZEWORKS_OUTPUTS (or else: reports).
        device: Where to compute.
        force: Stages to compute anew although nothing has changed.
    """
    ours, source = _reference(candidate), _data(data, candidate)
    theirs = None if baseline == "champion" else _reference(baseline)
    options: dict[str, Any] = {"runtime": _runtime(device), "force": tuple(force)}
    return comparison.fn(ours, theirs, source, _config(protocol, judge, seed), output_path(out), **options)


@flow(name="augment", persist_result=False)
def augment(
    checkpoint: str = "reports/redirect", data: str = "", real: Count = 8, generated: Count = 192, repeats: Count = 3,
    steps: Count = 100, start: Literal["pretrained", "scratch"] = "pretrained", seed: Seed = 0,
    out: str = "reports/augmentation", device: Device = "auto",
) -> AugmentationResult:  # fmt: skip
    """Trains an estimator on few real pictures, with and without redirected ones, and says what they are worth.

    Args:
        checkpoint: Folder of a report, whose candidate is meant, or of a trained model.
        data: Report or data set to take real pictures from. Empty: the data that the model was trained on.
        real: Real pictures of each subject that the estimator gets.
        generated: Redirected pictures that join them.
        repeats: Choices of real pictures.
        steps: Of training, in each arm.
        start: What the estimator starts from: the shipped one, trained on other people, or nothing.
        seed: Of choices and training.
        out: Folder of the report, below a folder of the worker's GAZEWORKS_OUTPUTS (or else: reports).
        device: Where to compute.
    """
    model, source = _model_and_data(checkpoint, data)
    config = DownstreamConfig(
        num_real=real, num_generated=generated, num_repeats=repeats, num_steps=steps, start=start, seed=seed
    )
    return augmentation.fn(model, source, config, output_path(out), _runtime(device))


def _model_and_data(checkpoint: str, data: str) -> tuple[ArtifactRef, ArtifactRef]:
    model = _reference(checkpoint)
    return model, _reference(data, "data") if data else data_of(model)


def _data(data: str, checkpoint: str) -> ArtifactRef | Path:
    """What to measure on, for a place that this worker may read; else what the checkpoint was trained on."""
    return find_data(_allowed(data)) if data else data_of(_reference(checkpoint))


def _reference(place: str, role: str = "candidate") -> ArtifactRef:
    """As `find_reference`, for a place that this worker may read."""
    return find_reference(_allowed(place), role)


def _allowed(place: str) -> str:
    path = Path(place)
    input_path(place if path.exists() or ":" not in place else place.rpartition(":")[0])
    return place


def _config(protocol: str, judge: Judge, seed: int) -> EvaluateConfig:
    if protocol:
        protocol_named(protocol)
    return EvaluateConfig(judge=judge, protocol=protocol, seed=seed).with_available_instruments()


def _runtime(device: Device) -> Runtime:
    return Runtime(device=device, progress=False)
