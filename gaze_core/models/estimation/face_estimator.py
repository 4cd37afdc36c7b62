"""A full-face gaze estimator, a timm backbone and two linear layers, and the import of older gaze tracker weights.

The layout of `gaze_tracker_*.pth` is a torchvision ResNet-18 whose `fc` is Linear, ReLU, Dropout, Linear; timm's
ResNet-18 has the same names but for `fc`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch._weights_only_unpickler import UnpicklingError  # type: ignore[attr-defined]
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.errors import BadInput

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PREFIXES = ("module.", "model.", "gaze_tracker.", "backbone.", "resnet.", "net.")
_BATCHES = "num_batches_tracked"


class FaceEstimatorConfig(Config):
    """Architecture of the network and normalisation of its input images."""

    backbone: str = "resnet18"
    image_px: PositiveInt = 128
    hidden: PositiveInt = 256
    dropout: float = Field(0.4, ge=0, lt=1)
    mean: tuple[float, float, float] = _IMAGENET_MEAN  # of R, G and B in [0, 1]
    std: tuple[float, float, float] = _IMAGENET_STD


class FaceEstimator(nn.Module):
    """Predicts gaze in the crop's camera frame from RGB in [0, 1] of a normalised face crop with its background."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: FaceEstimatorConfig) -> None:
        super().__init__()
        if not timm.is_model(config.backbone):
            near = ", ".join(timm.list_models(f"{config.backbone[:6]}*")[:8])
            raise BadInput(f"timm has no network {config.backbone!r}; similar names: {near or 'none'}")
        self.config = config
        self.backbone = timm.create_model(config.backbone, pretrained=False, num_classes=0)
        # Some networks, such as MobileNetV3, widen their features once more after pooling.
        width = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        self.head = nn.Sequential(
            nn.Linear(int(width), config.hidden),  # type: ignore[arg-type]
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 2),
        )
        self.register_buffer("mean", torch.tensor(config.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(config.std)[:, None, None], persistent=False)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2"]:
        """`[pitch, yaw]` in radians."""
        size = (self.config.image_px,) * 2
        if rgb.shape[-2:] != size:
            rgb = functional.interpolate(rgb, size=size, mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.backbone((rgb - self.mean) / self.std)
        out: Tensor = self.head(features)
        return out


def import_gaze_tracker(path: Path, image_px: int = 224) -> FaceEstimator:
    """The network of a `gaze_tracker_*.pth` file. They were trained without ImageNet normalisation.

    Only tensors are unpickled. Output 0 is taken as pitch and output 1 as yaw, both in radians.

    Raises:
        BadInput: there is no such file, it contains more than tensors, or it is of another network.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected the weights of a gaze tracker (.pth)")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        reason = str(error).partition("\n")[0][:120] or "truncated or empty"
        raise BadInput(
            f"{path}: not a file of tensors alone ({reason}); save the model's state_dict() with torch.save"
        ) from error
    state = _state_dict(path, content)
    backbone = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    linear = _linear_layers(path, state)
    config = FaceEstimatorConfig(
        image_px=image_px, hidden=linear[0][0].shape[0], mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    model = FaceEstimator(config)
    wanted = model.backbone.state_dict()
    wrong = [name for name in wanted if name not in backbone and not name.endswith(_BATCHES)]
    wrong += [name for name in backbone if name not in wanted or backbone[name].shape != wanted[name].shape]
    if wrong:
        raise BadInput(f"{path}: not a torchvision ResNet-18; missing or of another shape: {', '.join(wrong[:4])}")
    model.backbone.load_state_dict(backbone, strict=False)
    for layer, (weight, bias) in zip((model.head[0], model.head[3]), linear, strict=True):
        layer.load_state_dict({"weight": weight, "bias": bias})
    return model


def _state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    """The tensors by names without prefixes, from a state dict or a checkpoint that contains one."""
    for key in ("model_state_dict", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadInput(f"{path}: expected a state dict of tensors, found {type(content).__name__}")
    state = {str(name): tensor for name, tensor in content.items()}
    while state and "conv1.weight" not in state:
        prefix = next((p for p in _PREFIXES if any(name == f"{p}conv1.weight" for name in state)), None)
        prefix = prefix or next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            raise BadInput(f"{path}: no ResNet-18 in it; its first tensors are {', '.join(list(state)[:4])}")
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return {
        name.replace("gaze_head.", "fc.") if name.startswith("gaze_head.") else name: t for name, t in state.items()
    }


def _linear_layers(path: Path, state: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of the two linear layers of `fc`."""
    names = sorted(name for name in state if name.startswith("fc.") and name.endswith(".weight"))
    layers = [(state[name], state.get(name.replace(".weight", ".bias"), torch.empty(0))) for name in names]
    shapes = [tuple(weight.shape) for weight, _ in layers]
    hidden = shapes[0][0] if shapes and shapes[0] else 0
    biases = [tuple(bias.shape) for _, bias in layers]
    if shapes != [(hidden, 512), (2, hidden)] or biases != [(hidden,), (2,)]:
        raise BadInput(f"{path}: expected fc of two linear layers, 512 to hidden to 2; found shapes {shapes}")
    return layers
