"""Predicts the identity code of a person from a face image: the initial value for inverting an unseen person."""

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.data.schema import NUM_IDENTITY


class CodeEncoderConfig(Config):
    """Architecture of the network."""

    image_px: PositiveInt = 128
    width: PositiveInt = 24  # channels of the first layer


class CodeEncoder(nn.Module):
    """RGB on white, in [0, 1], to identity codes: the mean of the training people plus a predicted offset.

    `mean` and `std` are those of the training people; code entries that do not vary stay at the mean.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: CodeEncoderConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        widths = (3, w, 2 * w, 4 * w, 4 * w, 4 * w)
        self.body = nn.Sequential(*(_halving(a, b) for a, b in zip(widths, widths[1:], strict=False)))
        self.read = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * w, NUM_IDENTITY))
        self.register_buffer("mean", torch.zeros(NUM_IDENTITY))
        self.register_buffer("std", torch.ones(NUM_IDENTITY))

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 80"]:
        """The codes of images of any size."""
        size = (self.config.image_px,) * 2
        if rgb.shape[-2:] != size:
            rgb = functional.interpolate(rgb, size=size, mode="bilinear", align_corners=False, antialias=True)
        return self.mean + self.std * self.read(self.body(rgb - 0.5).mean(dim=(2, 3)))


def _halving(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride=2, padding=1), nn.GroupNorm(8, num_out), nn.SiLU(),
    )  # fmt: skip
