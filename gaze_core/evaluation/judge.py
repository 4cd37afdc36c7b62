"""Gaze estimators that judge renderings: they took no part in training the models and have not seen their subjects."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from torch.nn import functional

from gaze_core.data.people import person_key
from gaze_core.data.seen import Seen
from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.models.estimation.gaze_net import GazeNet, GazeNetConfig

PredictGaze = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""RGB uint8 (N, H, W, 3) to `[pitch, yaw]` rad, camera frame (N, 2), and whether each prediction is valid (N,)."""
_CHUNK = 32
_BLANK_DEVIATION = 0.02  # an image whose pixels deviate less than this from their mean shows no face


@dataclass(frozen=True, eq=False)
class JudgePrediction:
    """A judge's prediction for B images; angles in radians, camera frame, meaningless where not `valid`."""

    gaze_camera: Float[Tensor, "b 2"]
    head_pitchyaw: Float[Tensor, "b 2"] | None  # where the face points; None: this judge predicts no head direction
    valid: Bool[Tensor, " b"]


class Judge(Protocol):
    """An estimator of gaze; `digest` changes whenever its predictions may change."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def seen(self) -> Seen: ...

    def predict(self, rgb: Float[Tensor, "b 3 h w"]) -> JudgePrediction:
        """Predicts the gaze in face crops in [0, 1], on white, on any device."""
        ...


def require_no_critic(judge: Judge, critic_sha256: str | None) -> None:
    """Refuses a judge that took part in training: it would score its own training objective.

    Raises:
        ContractViolation: the training's critic was `judge`.
    """
    if critic_sha256 is not None and critic_sha256[:12] == judge.digest:
        raise ContractViolation(
            f"the checkpoint was trained with the gaze critic {judge.digest}, which is the judge {judge.name!r}; "
            "expected another; judge it with --judge iris, or train with another critic"
        )


class CnnJudge:
    """`GazeNet` with the shipped weights, or those of `path`; `stages/judge/estimator.py` says how they are made.

    It predicts from each image and its mirror image, and takes the mean.
    """

    name = "cnn"

    def __init__(self, path: Path | None = None) -> None:
        content, where = _read_weights(path)
        try:
            header_size = int.from_bytes(content[:8], "little")
            self.card = json.loads(json.loads(content[8 : 8 + header_size])["__metadata__"]["card"])
            self.seen = Seen(people=tuple(person_key("synthetic", name) for name in self.card["training_subjects"]))
            self._model = GazeNet(GazeNetConfig.model_validate(self.card["config"]["network"]))
            self._model.load_state_dict(load(content))
        except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ContractViolation(
                f"{where}: expected the weights of a gaze judge, found {error!r}; train one with "
                "gaze_core.stages.judge.estimator"
            ) from error
        self._model.eval().requires_grad_(False)
        self.digest = hashlib.sha256(content).hexdigest()[:12]

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the weights, for an estimator that starts from them."""
        return {name: value.clone() for name, value in self._model.state_dict().items()}

    @torch.no_grad()
    def predict(self, rgb: Float[Tensor, "b 3 h w"]) -> JudgePrediction:
        """Predicts for faces of any size. An image that is blank or not finite is not valid."""
        flat = rgb.flatten(1)
        valid = flat.isfinite().all(dim=1) & (flat.std(dim=1) > _BLANK_DEVIATION)
        parts = [self._predict(chunk) for chunk in rgb.nan_to_num(1.0).clamp(0, 1).split(_CHUNK)]
        gaze, head = (torch.cat(values) for values in zip(*parts, strict=True))
        return JudgePrediction(gaze, head, valid)

    def _predict(self, rgb: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b 2"]]:
        size = (self._model.config.image_px,) * 2
        if rgb.shape[-2:] != size:
            rgb = functional.interpolate(rgb, size=size, mode="bilinear", align_corners=False, antialias=True)
        model = self._model.to(rgb.device)
        seen, mirrored = model(rgb), model(rgb.flip(-1))
        unmirror = rgb.new_tensor([1.0, -1.0])
        return (
            (seen.gaze_camera + mirrored.gaze_camera * unmirror) / 2,
            (seen.head_pitchyaw + mirrored.head_pitchyaw * unmirror) / 2,
        )


def _read_weights(path: Path | None) -> tuple[bytes, str]:
    if path is None:
        packaged = resources.files("gaze_core.evaluation") / "weights" / "judge.safetensors"
        if not packaged.is_file():
            raise MissingArtifact(f"{packaged}: the weights of the gaze judge are missing; install gazeworks again")
        return packaged.read_bytes(), str(packaged)
    if not path.is_file():
        raise MissingArtifact(f"{path}: no such file; expected the weights of a gaze judge; train one or give none")
    return path.read_bytes(), str(path)


class IrisJudge:
    """A geometric judge: `predict_gaze` finds the irises and solves for the gaze, trained on no gaze label."""

    name = "iris"
    seen = Seen()

    def __init__(self, predict_gaze: PredictGaze, digest: str = "iris-v1") -> None:
        self._predict_gaze = predict_gaze
        self.digest = digest

    def predict(self, rgb: Float[Tensor, "b 3 h w"]) -> JudgePrediction:
        """Predicts for the faces that `predict_gaze` finds."""
        images = (rgb.detach().permute(0, 2, 3, 1).nan_to_num(1.0).clamp(0, 1) * 255).round().byte().cpu().numpy()
        gaze, valid = self._predict_gaze(images)
        return JudgePrediction(
            gaze_camera=torch.as_tensor(gaze, dtype=rgb.dtype, device=rgb.device),
            head_pitchyaw=None,
            valid=torch.as_tensor(valid, dtype=torch.bool, device=rgb.device),
        )
