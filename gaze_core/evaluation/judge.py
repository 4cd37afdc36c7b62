"""Judges: read gaze and head direction from an image alone, and so measure what a renderer did with what it was asked.

A judge is independent of what it judges: it never trains a model, and it refuses people that it has itself learned
from. Angles are `[pitch, yaw]` in radians, camera frame; images are RGB in [0, 1] on white.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.geometry.angles import pitchyaw_from_vector
from gaze_core.models.estimator import GazeNet, GazeNetConfig

WEIGHTS_FILE, MANIFEST_FILE = "judge_v1.safetensors", "judge_v1.json"
_CHUNK = 32
_BLANK_DEVIATION = 0.02  # an image whose pixels deviate less than this from their mean shows no face


@dataclass(frozen=True, eq=False)
class JudgeReading:
    """What a judge saw. Where `valid` is false the angles mean nothing; a judge without head pose gives None."""

    gaze_camera: Float[Tensor, "b 2"]
    head_pitchyaw: Float[Tensor, "b 2"] | None
    valid: Bool[Tensor, " b"]


class Judge(Protocol):
    """Reads images. `training_subjects` are the people whose images it has learned from."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def training_subjects(self) -> tuple[str, ...]: ...

    def read(self, rgb: Float[Tensor, "b 3 h w"]) -> JudgeReading: ...


class JudgeManifest(Config):
    """What is known about a shipped judge; the JSON file beside its weights."""

    name: str
    stage_version: PositiveInt
    model: GazeNetConfig
    weights_sha256: str
    training_subjects: tuple[str, ...]
    validation_subjects: tuple[str, ...]
    num_training_images: PositiveInt
    num_validation_images: PositiveInt
    validation_gaze_error_deg: NonNegativeFloat  # on identities it was not trained on
    seed: NonNegativeInt
    num_steps: PositiveInt
    config_digest: str


class CnnJudge:
    """The shipped network, trained on rendered people. An image and its mirror image are read, and averaged."""

    name = "cnn"

    def __init__(self) -> None:
        self.manifest, weights = _shipped()
        self.digest = self.manifest.weights_sha256[:12]
        # Validation subjects chose the weights that are kept, so they are not unseen either.
        self.training_subjects = (*self.manifest.training_subjects, *self.manifest.validation_subjects)
        self._net = GazeNet(self.manifest.model)
        self._net.load_state_dict(weights)
        self._net.eval()

    def read(self, rgb: Float[Tensor, "b 3 h w"]) -> JudgeReading:
        """Gaze and head direction. An image that is blank or not finite is not valid.

        Raises:
            ContractViolation: the images are not of the size that the judge was trained on.
        """
        size_px = self.manifest.model.image_px
        if rgb.shape[1:] != (3, size_px, size_px):
            raise ContractViolation(
                f"the judge reads RGB images of {size_px} x {size_px} px, found {tuple(rgb.shape[1:])}; render at that size"
            )
        with torch.inference_mode():
            parts = [self._read(chunk) for chunk in rgb.detach().float().cpu().split(_CHUNK)]
        gaze, head = (torch.cat(values).to(rgb.device) for values in zip(*parts, strict=True))
        finite = rgb.isfinite().flatten(1).all(dim=1)
        return JudgeReading(gaze, head, finite & (rgb.flatten(1).std(dim=1) > _BLANK_DEVIATION))

    def _read(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        seen, mirrored = self._net(rgb), self._net(rgb.flip(-1))
        unmirror = rgb.new_tensor([1.0, -1.0])
        return (
            (seen.gaze_camera + mirrored.gaze_camera * unmirror) / 2,
            (seen.head_pitchyaw + mirrored.head_pitchyaw * unmirror) / 2,
        )


class IrisJudge:
    """A judge without training: `read_gaze` finds the irises and applies an eyeball model. It reads no head pose.

    `read_gaze` takes uint8 RGB images [B, H, W, 3] and returns gaze [B, 2] (rad, camera frame) and valid [B].
    """

    name = "iris"
    training_subjects: tuple[str, ...] = ()

    def __init__(self, read_gaze: Callable[[np.ndarray], tuple[Any, Any]], version: str = "1") -> None:
        self._read_gaze = read_gaze
        self.digest = hashlib.sha256(f"iris/{version}".encode()).hexdigest()[:12]

    def read(self, rgb: Float[Tensor, "b 3 h w"]) -> JudgeReading:
        """Gaze from both irises; an image without a face is not valid."""
        images = (rgb.detach().permute(0, 2, 3, 1).nan_to_num().clamp(0, 1) * 255).round().byte().cpu().numpy()
        gaze, valid = (torch.as_tensor(values, device=rgb.device) for values in self._read_gaze(images))
        return JudgeReading(gaze.float(), None, valid.bool() & rgb.isfinite().flatten(1).all(dim=1))


def require_unseen(judge: Judge, subject: str) -> None:
    """Refuses to judge a person that the judge has learned from.

    Raises:
        ContractViolation: it has.
    """
    if subject in judge.training_subjects:
        raise ContractViolation(
            f"the judge {judge.name} ({judge.digest}) was trained on subject {subject!r}, so its reading would not be "
            "independent; expected a subject it has not seen; evaluate another subject or use another judge"
        )


def head_pitchyaw(batch: GazeBatch) -> Float[Tensor, "b 2"]:
    """Where the head faces: its -z axis in the camera frame, `[pitch, yaw]` rad; (0, 0) faces the camera."""
    axes = (batch.camera.world_to_camera @ batch.head.head_to_world)[:, :3, :3]
    return pitchyaw_from_vector(-axes[:, :, 2])


@cache
def _shipped() -> tuple[JudgeManifest, dict[str, Tensor]]:
    """Manifest and weights from the installed package, checked against each other."""
    folder = resources.files("gaze_core.evaluation") / "weights"
    try:
        manifest = JudgeManifest.model_validate(json.loads((folder / MANIFEST_FILE).read_text()))
        content = (folder / WEIGHTS_FILE).read_bytes()
        weights = load(content)
    except (OSError, json.JSONDecodeError, ValidationError, SafetensorError) as error:
        raise MissingArtifact(f"{folder}: the shipped judge is not readable ({error}); install the package again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.weights_sha256:
        raise MissingArtifact(
            f"{folder / WEIGHTS_FILE}: sha256 {found[:12]}, expected {manifest.weights_sha256[:12]}; install the package again"
        )
    return manifest, weights
