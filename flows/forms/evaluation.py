"""Evaluation, comparison and the downstream test as deployments."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from flows import references
from flows.augmentation import AugmentationResult, augmentation
from flows.evaluation import EvaluationResult, comparison, evaluation
from flows.forms.derived import form
from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Config, Runtime
from gaze_core.evaluation.protocols import protocol as protocol_named
from gaze_core.stages.redirection.downstream import DownstreamConfig
from gaze_core.stages.redirection.evaluate import EvaluateConfig
from tasks.store.permitted_paths import input_path

_CANDIDATE = "Folder of a report (its candidate is used) or of a trained model."


class _MeasuredRequest(Config):
    """Inputs that an evaluation and a comparison share."""

    data: str = Field(
        "",
        description="Report, data set, or subject files to measure on. Empty: the test frames of the model's own data.",
    )
    protocol: str = Field("", description="A published protocol by name. Empty: random pairs of test frames.")
    judge: Literal["cnn", "landmarks", "iris", "openvino"] = Field(
        "cnn",
        description="Gaze estimator of the evaluation: the shipped network; for recordings of people the landmarks "
        "of the eyes, the eyeball model, or OpenVINO's network (extra openvino).",
    )
    seed: int = Field(0, ge=0, description="Seed of the pairs.")

    def config(self) -> EvaluateConfig:
        """The evaluation's configuration, with all metric networks that the worker has."""
        if self.protocol:
            protocol_named(self.protocol)
        config = EvaluateConfig(judge=self.judge, protocol=self.protocol, seed=self.seed)
        return config.with_available_metrics()


class EvaluateRequest(_MeasuredRequest):
    """Measures a trained model on unseen frames, and reports."""

    checkpoint: str = Field("reports/redirect", description=f"{_CANDIDATE} PATH:baseline means a report's baseline.")


class CompareRequest(_MeasuredRequest):
    """Compares a model with another on the same pairs. A model that is better than the champion becomes the champion."""

    candidate: str = Field("reports/redirect", description=_CANDIDATE)
    baseline: str = Field(
        "champion",
        description="The same, PATH:baseline for a report's baseline, or champion for that of the model registry.",
    )


class AugmentRequest(Config):
    """Trains an estimator on few real images, with and without redirected ones, and reports the difference."""

    checkpoint: str = Field("reports/redirect", description=_CANDIDATE)
    data: str = Field("", description="Report or data set to take real images from. Empty: that of the training.")
    real: int = Field(8, ge=1, description="Real images of each subject to train on.")
    generated: int = Field(192, ge=1, description="Redirected images to add.")
    repeats: int = Field(3, ge=1, description="Random choices of the real images.")
    steps: int = Field(100, ge=1, description="Training steps in each arm.")
    start: Literal["pretrained", "scratch"] = Field(
        "pretrained",
        description="Initial weights of the estimator: the shipped ones, trained on other people, or random ones.",
    )
    seed: int = Field(0, ge=0, description="Seed of choices and training.")


def _evaluate(request: EvaluateRequest, out: Path, runtime: Runtime, force: tuple[str, ...]) -> EvaluationResult:
    model, data = _reference(request.checkpoint), _data(request.data, request.checkpoint)
    return evaluation.fn(model, data, request.config(), out, runtime, None, force)


def _compare(request: CompareRequest, out: Path, runtime: Runtime, force: tuple[str, ...]) -> EvaluationResult:
    ours, data = _reference(request.candidate), _data(request.data, request.candidate)
    theirs = None if request.baseline == "champion" else _reference(request.baseline)
    return comparison.fn(ours, theirs, data, request.config(), out, runtime=runtime, force=force)


def _augment(request: AugmentRequest, out: Path, runtime: Runtime, force: tuple[str, ...]) -> AugmentationResult:
    model, data = _model_and_data(request.checkpoint, request.data)
    config = DownstreamConfig(
        num_real=request.real, num_generated=request.generated, num_repeats=request.repeats, num_steps=request.steps,
        start=request.start, seed=request.seed,
    )  # fmt: skip
    return augmentation.fn(model, data, config, out, runtime, force)


def _model_and_data(checkpoint: str, data: str) -> tuple[ArtifactRef, ArtifactRef]:
    model = _reference(checkpoint)
    return model, _reference(data, "data") if data else references.data_of(model)


def _data(data: str, checkpoint: str) -> ArtifactRef | Path:
    """The data to measure on, from a path that this worker may read; default: the checkpoint's own data."""
    return references.find_data(_allowed(data)) if data else references.data_of(_reference(checkpoint))


def _reference(place: str, role: str = "candidate") -> ArtifactRef:
    """As `find_reference`, for a path that this worker may read."""
    return references.find_reference(_allowed(place), role)


def _allowed(place: str) -> str:
    path = Path(place)
    input_path(place if path.exists() or ":" not in place else place.rpartition(":")[0])
    return place


evaluate = form("evaluate", EvaluateRequest, _evaluate, "reports/evaluation", ("evaluate",))
compare = form("compare", CompareRequest, _compare, "reports/comparison", ("evaluate", "compare"))
augment = form("augment", AugmentRequest, _augment, "reports/augmentation", ("downstream",))
