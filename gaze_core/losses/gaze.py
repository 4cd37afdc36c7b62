"""Gaze as a loss: a frozen estimator, never the judge, says where a rendered face looks; and gazes to ask for.

Weak supervision by synthetic gaze after DiT-Gaze (arXiv 2511.11231): a head is redirected to a gaze that no image shows,
so only the gaze loss can tell whether it took it on. Early in training the target gazes stay near the middle; the range
grows until the whole of it is drawn from.
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
    full_after: float = Field(0.5, gt=0, le=1)  # of the run: from here on the whole range
    grid: PositiveInt = 5  # values on each axis, for the third of the draws that lie on a grid


@dataclass(frozen=True)
class GazeCritic:
    """Reads `[pitch, yaw]` in the camera frame; gradients reach the image, never the critic."""

    network: GazeNet

    def error_deg(self, rgb: Float[Tensor, "b 3 h w"], gaze_camera: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """Angle between what the critic reads and the expected gaze."""
        size = (self.network.config.image_px,) * 2
        if rgb.shape[-2:] != size:
            rgb = functional.interpolate(rgb, size=size, mode="bilinear", align_corners=False, antialias=True)
        return angular_error_deg(self.network.to(rgb.device)(rgb).gaze_camera, gaze_camera)


def sample_target_gaze(
    config: SyntheticGazeConfig, progress: float, subjects: Int[Tensor, " b"], samples: Int[Tensor, " b"], *seed: int
) -> Float[Tensor, "b 2"]:
    """A gaze for each sample, `[pitch, yaw]` rad in the head frame; `progress` is the share of the run that is over.

    A third is drawn near the middle, a third uniformly, a third on a grid. Depends on seed and sample alone, so it is
    the same however a batch is shared among processes.
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
