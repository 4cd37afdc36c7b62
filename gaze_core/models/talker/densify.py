"""Densification of the head during the coarse stage, with the optimizer's state kept for the Gaussians that stay.

The criterion is that of 3D Gaussian Splatting (Kerbl et al. 2023, section 5.2): Gaussians whose image positions have large
gradients are split into two smaller ones, transparent ones are pruned. The number is capped. The statistics are buffers of the
model, so an interrupted run goes on with them.
"""

import math

import torch
from jaxtyping import Bool, Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.geometry.rotations import matrix_from_quaternion
from gaze_core.models.talker.network import TalkerModel
from gaze_core.splat.gaussians import Rendering

_SPLIT_SCALE_DIVISOR = 1.6  # Kerbl et al.
_KEPT = ("exp_avg", "exp_avg_sq")  # of Adam, one value for each value of the parameter


class TalkerDensifyConfig(Config):
    """When to densify, how many Gaussians to split, which to prune; `every_steps` 0 turns it off."""

    from_step: NonNegativeInt = 100
    every_steps: NonNegativeInt = 50
    until_step: NonNegativeInt = 250
    split_share: float = Field(0.1, gt=0, le=1)  # of the head's Gaussians, those with the largest mean gradient
    min_opacity: float = Field(0.02, ge=0, lt=1)
    min_points: PositiveInt = 100  # pruning stops there

    def is_due(self, step: int) -> bool:
        """Whether to densify after this step; the first is number 1."""
        in_time = self.from_step <= step <= self.until_step
        return bool(self.every_steps) and in_time and step % self.every_steps == 0


@torch.no_grad()
def note_gradients(model: TalkerModel, raster: Rendering) -> None:
    """Adds the gradients of the image positions of the head's Gaussians, where they were seen."""
    gradient = raster.means2d_px.grad
    assert gradient is not None, "the raster's image positions keep their gradient"
    count = model.head.num_points
    seen = (raster.radii_px[:, :count] > 0).any(dim=-1)
    model.density_gradient_px += (gradient[:, :count].norm(dim=-1) * seen).sum(dim=0)
    model.density_count += seen.sum(dim=0)


@torch.no_grad()
def densify(model: TalkerModel, optimizer: torch.optim.Optimizer, config: TalkerDensifyConfig) -> tuple[int, int]:
    """Splits and prunes in place; returns how many were split and pruned."""
    head, decoded = model.head, model.appearance(model.planes(model.head.means_m))
    logits = head.opacity_logits[:, 0] + (decoded["opacity"][:, 0] if "opacity" in decoded else 0)
    opaque = torch.sigmoid(logits) >= config.min_opacity
    if int(opaque.sum()) < config.min_points:
        opaque = torch.ones_like(opaque)
    room = max(0, model.config.max_head_points - int(opaque.sum()))
    count = min(int(config.split_share * int(opaque.sum())), room)
    mean_px = model.density_gradient_px / model.density_count.clamp_min(1)
    split = _largest(mean_px.masked_fill(~opaque, -1), count)  # a transparent one must not be split
    keep = (opaque & ~split).nonzero()[:, 0]
    chosen = split.nonzero()[:, 0]
    order = torch.cat([keep, chosen, chosen])
    along = _longest_axis_m(head.log_scales[chosen], head.quats_wxyz[chosen])
    for name, parameter in dict(head.named_parameters()).items():
        values = parameter[order].clone()
        if name == "means_m":
            values[len(keep) :] += torch.cat([0.5 * along, -0.5 * along])
        if name == "log_scales":
            values[len(keep) :] -= math.log(_SPLIT_SCALE_DIVISOR)
        _replace(parameter, values, order, len(keep), optimizer)
    model.density_gradient_px = torch.zeros_like(head.opacity_logits[:, 0])
    model.density_count = torch.zeros_like(model.density_gradient_px)
    return len(chosen), int((~opaque).sum())


def _replace(
    parameter: nn.Parameter, values: Tensor, order: Tensor, num_kept: int, optimizer: torch.optim.Optimizer
) -> None:
    """Gives the parameter other rows; the moments of those that stay are kept, those of new ones start at zero."""
    state = optimizer.state.get(parameter, {})
    for name in _KEPT:
        if name in state:
            moments = state[name][order].clone()
            moments[num_kept:] = 0
            state[name] = moments
    parameter.data, parameter.grad = values, None


def _largest(values: Float[Tensor, " n"], count: int) -> Bool[Tensor, " n"]:
    chosen = torch.zeros_like(values, dtype=torch.bool)
    chosen[values.argsort(descending=True, stable=True)[:count]] = True
    return chosen


def _longest_axis_m(log_scales: Float[Tensor, "k 3"], quats: Float[Tensor, "k 4"]) -> Float[Tensor, "k 3"]:
    """One standard deviation along the longest axis of each Gaussian, as a vector."""
    scales_m, longest = log_scales.exp().max(dim=-1)
    rotation = matrix_from_quaternion(torch.nn.functional.normalize(quats, dim=-1))
    return scales_m[:, None] * rotation.gather(2, longest[:, None, None].expand(-1, 3, 1))[..., 0]
