"""Gaze from three streams, the face and both eyes, fused by attention: `lite`, `hybrid`, and `tiny` for a CPU.

`lite` and `hybrid` have the layers, and so the parameter counts, of the published baseline (GazeTRLite and GazeTRHybrid
of an EVE baseline, after GazeTR, Cheng and Lu 2022). Both eyes share one encoder. Its two sides are told apart by their
position embedding alone, or mirrored: then the left eye is mirrored, so that the noses lie on the same side of both crops.
"""

from dataclasses import dataclass
from typing import Literal

import timm
import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.data.batch import TensorRecord
from gaze_core.models.estimation.encoder_weights import EncoderWeights, load_encoder
from gaze_core.models.estimation.tiny_encoder import TinyEncoder

Variant = Literal["tiny", "lite", "hybrid"]
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_EMBEDDING_STD = 0.02
_PLACE_CHANNELS = 16
_POSE_SCALE = 0.2  # rad


class GazeTRConfig(Config):
    """Architecture of the network, and the size of its input images.

    Without `face_weights` and `eye_weights` the encoders start from random weights.
    """

    variant: Variant = "lite"
    face_px: PositiveInt = 224
    eye_px: PositiveInt = 112
    mirror_left_eye: bool = False
    width: PositiveInt = 96  # of a token, `tiny` only; the others' widths are published
    num_layers: PositiveInt = 2  # of the transformer, `tiny` only
    head_pose: bool = False  # the pose is a token beside the crops, `tiny` only
    dropout: float = Field(0.1, ge=0, lt=1)
    mean: tuple[float, float, float] = _IMAGENET_MEAN  # of R, G and B in [0, 1]
    std: tuple[float, float, float] = _IMAGENET_STD
    face_weights: EncoderWeights | None = None
    eye_weights: EncoderWeights | None = None

    @property
    def token_width(self) -> int:
        """Channels of the fused token, from which the gaze is read."""
        return {"tiny": self.width, "lite": 512, "hybrid": 1536}[self.variant]


GAZETR_PRESETS: dict[Variant, GazeTRConfig] = {
    "tiny": GazeTRConfig(variant="tiny", face_px=96, eye_px=48, mirror_left_eye=True, head_pose=True, dropout=0.0),
    "lite": GazeTRConfig(variant="lite"),
    "hybrid": GazeTRConfig(variant="hybrid", eye_px=224),
}


@dataclass(frozen=True, eq=False)
class EyeFaceImages(TensorRecord):
    """Normalised crops of B frames, RGB in [0, 1]; left and right are the subject's.

    `head_rad` is `[pitch, yaw]` of the head in the frame of the face crop, NaN where unknown; None if nobody knows it.
    """

    face: Float[Tensor, "b 3 f f"]
    left_eye: Float[Tensor, "b 3 e e"]
    right_eye: Float[Tensor, "b 3 e e"]
    head_rad: Float[Tensor, "b 2"] | None = None

    def __len__(self) -> int:
        return len(self.face)


@dataclass(frozen=True, eq=False)
class GazeTROutput(TensorRecord):
    """Gaze `[pitch, yaw]` in radians in the frame of the face crop, and the fused token that it was read from."""

    gaze_rad: Float[Tensor, "b 2"]
    token: Float[Tensor, "b d"]


class GazeTR(nn.Module):
    """Predicts gaze from the three crops."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: GazeTRConfig) -> None:
        super().__init__()
        self.config = config
        self.fusion = (_CrossAttentionFusion if config.variant == "hybrid" else _TransformerFusion)(config)
        self.head = _hybrid_head() if config.variant == "hybrid" else _head(config.token_width, config.dropout)
        self.register_buffer("mean", torch.tensor(config.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(config.std)[:, None, None], persistent=False)

    def load_pretrained(self) -> None:
        """Loads the encoders' weights that the configuration names, before training.

        Raises:
            BadInput: as `load_encoder`.
        """
        encoders = self.fusion.face_encoder, self.fusion.eye_encoder
        for encoder, weights in zip(encoders, (self.config.face_weights, self.config.eye_weights), strict=True):
            if weights:
                load_encoder(encoder, weights)

    def forward(self, images: EyeFaceImages) -> GazeTROutput:
        """Images of any size; they are resized to the sizes of the configuration."""
        face = self._input(images.face, self.config.face_px)
        left, right = (self._input(eye, self.config.eye_px) for eye in (images.left_eye, images.right_eye))
        head = images.head_rad if images.head_rad is not None else face.new_full((len(face), 2), torch.nan)
        token = self.fusion(face, left.flip(-1) if self.config.mirror_left_eye else left, right, head)
        # The last layers run in full precision: bfloat16 near 0.3 rad has steps of 0.1 degrees.
        with torch.autocast(token.device.type, enabled=False):
            token = token.float()
            return GazeTROutput(self.head(token), token)

    def _input(self, rgb: Float[Tensor, "b 3 h w"], size_px: int) -> Float[Tensor, "b 3 s s"]:
        if rgb.shape[-1] != size_px:
            rgb = functional.interpolate(rgb, size=(size_px, size_px), mode="bilinear", align_corners=False)
        out: Tensor = (rgb - self.mean) / self.std
        return out


class _TransformerFusion(nn.Module):
    """One token for each stream, and for the head pose if asked for, through a transformer; the face's token comes out."""

    def __init__(self, config: GazeTRConfig) -> None:
        super().__init__()
        width, is_tiny = config.token_width, config.variant == "tiny"
        self.face_encoder, self.eye_encoder = (
            (TinyEncoder(config.width), TinyEncoder(config.width)) if is_tiny else (_resnet(), _resnet())
        )
        self.face_pool: nn.Module = _PlacePool(width) if is_tiny else _PositionPool(4)
        self.eye_pool: nn.Module = _PlacePool(width) if is_tiny else _PositionPool(2)
        self.face_linear, self.eye_linear = nn.Linear(width, width), nn.Linear(width, width)
        self.head_linear = nn.Linear(3, width) if is_tiny and config.head_pose else None
        count = 4 if self.head_linear else 3
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, count, width), std=_EMBEDDING_STD))
        layer = nn.TransformerEncoderLayer(
            width, 8, 4 * width if not is_tiny else 2 * width, config.dropout, "gelu", batch_first=True
        )
        layers = config.num_layers if is_tiny else 4
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, face: Tensor, left: Tensor, right: Tensor, head_rad: Tensor) -> Float[Tensor, "b d"]:
        """The face's token after attention to the others."""
        eyes = self.eye_linear(self.eye_pool(self.eye_encoder(torch.cat([left, right]))))
        streams = [self.face_linear(self.face_pool(self.face_encoder(face))), *eyes.chunk(2)]
        if self.head_linear:
            streams.append(self.head_linear(_pose_inputs(head_rad)))
        tokens = torch.stack(streams, dim=1)
        out: Tensor = self.transformer(tokens + self.position)[:, 0]
        return out


class _PositionPool(nn.Module):
    """A feature map averaged to `size` x `size` positions, and a learned weighted sum over them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.weigh = nn.Linear(size * size, 1)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One value for each channel."""
        out: Tensor = self.weigh(_average_pool(maps, self.size).flatten(2)).squeeze(-1)
        return out


class _PlacePool(nn.Module):
    """Few channels at 6 x 6 places, all of them read: where an iris lies is the gaze, and a mean over places forgets it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, _PLACE_CHANNELS, 1)
        self.read = nn.Linear(_PLACE_CHANNELS * 36, width)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """As many values as channels came in."""
        out: Tensor = functional.relu(self.read(_average_pool(functional.relu(self.reduce(maps)), 6).flatten(1)))
        return out


class _CrossAttentionFusion(nn.Module):
    """Vision transformers for face and eyes; the tokens of each eye attend to those of the face."""

    def __init__(self, config: GazeTRConfig) -> None:
        super().__init__()
        self.face_encoder = timm.create_model(
            "vit_base_patch16_224", pretrained=False, num_classes=0, img_size=config.face_px
        )
        self.eye_encoder = timm.create_model(
            "vit_small_patch16_224", pretrained=False, num_classes=0, img_size=config.eye_px
        )
        self.eye_proj = nn.Linear(384, 768)
        self.left_attention, self.right_attention = _CrossAttention(768), _CrossAttention(768)

    def forward(self, face: Tensor, left: Tensor, right: Tensor, head_rad: Tensor) -> Float[Tensor, "b 1536"]:
        """The class tokens of both eyes after attention to the face."""
        tokens = self.face_encoder.forward_features(face)  # type: ignore[operator]
        eyes = self.eye_proj(self.eye_encoder.forward_features(torch.cat([left, right])))  # type: ignore[operator]
        sides = zip((self.left_attention, self.right_attention), eyes.chunk(2), strict=True)
        return torch.cat([attention(eye, tokens)[:, 0] for attention, eye in sides], dim=-1)


class _CrossAttention(nn.Module):
    """Pre-norm attention of queries to keys, then an MLP, both residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_norm, self.key_norm, self.mlp_norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, 8, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, queries: Float[Tensor, "b q d"], keys: Float[Tensor, "b k d"]) -> Float[Tensor, "b q d"]:
        """The queries, changed by what they attend to."""
        normed = self.key_norm(keys)
        queries = queries + self.attention(self.query_norm(queries), normed, normed, need_weights=False)[0]
        out: Tensor = queries + self.mlp(self.mlp_norm(queries))
        return out


def _pose_inputs(head_rad: Float[Tensor, "b 2"]) -> Float[Tensor, "b 3"]:
    """The pose about in [-1, 1] and whether it is known; zeros where it is not."""
    known = head_rad.isfinite().all(-1, keepdim=True)
    return torch.cat([torch.where(known, head_rad / _POSE_SCALE, torch.zeros_like(head_rad)), known], dim=-1)


def _average_pool(maps: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Adaptive average pooling; written as a mean where it divides, whose gradient is deterministic on every device."""
    if maps.shape[-1] % size == 0 and maps.shape[-2] % size == 0:
        parts = maps.unflatten(-1, (size, -1)).unflatten(-3, (size, -1))
        return parts.mean(dim=(-3, -1))
    return functional.adaptive_avg_pool2d(maps, size)


def _resnet() -> nn.Module:
    """A ResNet-18 up to its last feature map."""
    model: nn.Module = timm.create_model("resnet18", pretrained=False, num_classes=0, global_pool="")
    return model


def _head(width: int, dropout: float) -> nn.Sequential:
    hidden = 256 if width == 512 else width
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, 2)
    )


def _hybrid_head() -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(1536), nn.Linear(1536, 512), nn.GELU(), nn.Linear(512, 256), nn.GELU(), nn.Linear(256, 2)
    )
