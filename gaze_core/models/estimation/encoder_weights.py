"""Pretrained weights of encoders: timm's by their id, or a file of tensors."""

from pathlib import Path
from typing import Self

import timm
import torch
from pydantic import model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._weights_only_unpickler import UnpicklingError  # type: ignore[attr-defined]

from gaze_core.artifacts import Sha256, file_sha256
from gaze_core.config import Config
from gaze_core.errors import BadInput

_OUTPUT_LAYERS = ("fc.", "head.")  # of classifiers, which encoders do not have


class EncoderWeights(Config):
    """Where an encoder's weights come from: a timm id such as `resnet18.a1_in1k`, or a file with its checksum."""

    timm_id: str = ""
    path: Path | None = None
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.timm_id) == (self.path is not None):
            raise ValueError("give either timm_id or path")
        if (self.path is None) != (self.sha256 is None):
            raise ValueError("a path and its sha256 belong together: the checksum says which weights they are")
        return self


def load_encoder(encoder: nn.Module, weights: EncoderWeights) -> None:
    """Loads pretrained weights into an encoder; layers of a classifier are left out.

    Raises:
        BadInput: timm has no such weights or cannot download them, no such file, another checksum or another network.
    """
    where = weights.timm_id or str(weights.path)
    require_available(weights)
    state = _of_timm(weights.timm_id) if weights.timm_id else _of_file(weights)
    state = {name: value for name, value in state.items() if not name.startswith(_OUTPUT_LAYERS)}
    wanted = encoder.state_dict()
    wrong = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    wrong += [name for name in state if name not in wanted or state[name].shape != wanted[name].shape]
    if wrong:
        raise BadInput(f"{where}: weights of another network; missing or of another shape: {', '.join(wrong[:4])}")
    encoder.load_state_dict(state, strict=False)


def require_available(weights: EncoderWeights) -> None:
    """Raises BadInput, before a run begins, for a file that is not there or has changed, or an id that timm lacks.

    Whether timm can download its weights is known only when they are loaded.
    """
    if weights.path is not None:
        _require_file(weights.path, weights.sha256)
    elif weights.timm_id not in timm.list_models(pretrained=True):
        near = ", ".join(timm.list_models(f"{weights.timm_id.partition('.')[0][:8]}*", pretrained=True)[:6])
        raise BadInput(f"timm has no pretrained weights {weights.timm_id!r}; similar ids: {near or 'none'}")


def _require_file(path: Path, sha256: str | None) -> None:
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected the weights of an encoder (.safetensors or .pth)")
    if (found := file_sha256(path)) != sha256:
        raise BadInput(f"{path}: sha256 {found}, expected {sha256}")


def _of_timm(timm_id: str) -> dict[str, Tensor]:
    """Timm's weights, from its cache or its maker."""
    try:
        model = timm.create_model(timm_id, pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:  # without a network timm's hub client raises any of these
        reason = str(error).partition("\n")[0][:160]
        raise BadInput(
            f"{timm_id}: pretrained weights are not on this machine and cannot be downloaded ({reason}); give a file with "
            "path and sha256, or train from random weights by leaving face_weights and eye_weights out"
        ) from error
    return dict(model.state_dict())


def _of_file(weights: EncoderWeights) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a `.pth` file that holds nothing else."""
    assert weights.path is not None
    path = weights.path
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, SafetensorError, UnpicklingError) as error:
        raise BadInput(f"{path}: not a file of tensors alone ({str(error).partition(chr(10))[0][:120]})") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadInput(f"{path}: expected a state dict of tensors, found {type(content).__name__}")
    return content
