"""Gaze loss by a frozen estimator, which is never the judge, and sampling of target gazes.

Weak supervision by synthetic gaze after DiT-Gaze (arXiv 2511.11231): a head is redirected to a gaze that no image shows,
so only the gaze loss can supervise it. Early in training the target gazes stay close to straight ahead; the range grows
until it is complete.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.models.estimation.gaze_net import GazeNet
from gaze_core.reproducibility import generator


class SyntheticGazeConfig(Config):
    """Target gazes, `[pitch, yaw]` in the head frame, each within `max_deg` of straight ahead."""

    max_deg: PositiveFloat = 20.0
    first_share: float = Field(0.25, gt=0, le=1)  # of the range, at the start
    full_after: float = Field(0.5, gt=0, le=1)  # of the run: from here on the full range
    grid: PositiveInt = 5  # values on each axis, for the third of the samples that lie on a grid


@dataclass(frozen=True)
class GazeCritic:
    """Predicts `[pitch, yaw]` in the camera frame; gradients reach the image, never the critic."""

    network: GazeNet

    def error_deg(self, rgb: Float[Tensor, "b 3 h w"], gaze_camera: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """Angle between the critic's prediction and the expected gaze."""
        size = (self.network.config.image_px,) * 2
        if rgb.shape[-2:] != size:
            rgb = functional.interpolate(rgb, size=size, mode="bilinear", align_corners=False, antialias=True)
        return angular_error_deg(self.network.to(rgb.device)(rgb).gaze_camera, gaze_camera)


def sample_target_gaze(
    config: SyntheticGazeConfig, progress: float, subjects: Int[Tensor, " b"], samples: Int[Tensor, " b"], *seed: int
) -> Float[Tensor, "b 2"]:
    """A target gaze for each sample, `[pitch, yaw]` rad in the head frame; `progress` is the finished share of the run.

    A third is normally distributed about straight ahead, a third uniform, a third on a grid. The result depends on seed
    and sample only, so it is the same however a batch is divided among processes.
    """
    share = config.first_share + (1 - config.first_share) * min(1.0, progress / config.full_after)
    limit_rad = math.radians(config.max_deg) * share
    rows = []
    for subject, sample in zip(subjects.tolist(), samples.tolist(), strict=True):
        random = generator("synthetic gaze", *seed, subject, sample)
        kind = int(torch.randint(3, (), generator=random))
        if kind == 0:
            row = (torch.randn(2, generator=random) / 2).clamp(-1, 1)
        elif kind == 1:
            row = 2 * torch.rand(2, generator=random) - 1
        else:
            steps = torch.randint(config.grid, (2,), generator=random)
            row = 2 * steps / max(1, config.grid - 1) - 1 if config.grid > 1 else torch.zeros(2)
        rows.append(limit_rad * row)
    return torch.stack(rows).to(subjects.device)
