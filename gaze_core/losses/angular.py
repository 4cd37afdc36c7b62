"""Losses of gaze angles where some labels are invalid, in full precision under any autocast."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gaze_core.geometry.angles import angle_between_deg, vector_from_pitchyaw


def masked_angular_rad(
    predicted: Float[Tensor, "*b 2"], target: Float[Tensor, "*b 2"], valid: Bool[Tensor, "*b"]
) -> Tensor:
    """Sum of the angles of valid samples over the number of all samples, in radians.

    Dividing by all samples keeps the mean over several processes equal to that of one process, however the invalid
    samples are divided among them.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        known = torch.where(valid[..., None], target.float(), torch.zeros_like(target, dtype=torch.float32))
        vectors = [vector_from_pitchyaw(angles) for angles in (predicted.float(), known)]
        errors = torch.deg2rad(angle_between_deg(vectors[0], vectors[1]))
        return torch.where(valid, errors, torch.zeros_like(errors)).sum() / max(1, valid.numel())


def masked_square_rad2(
    predicted: Float[Tensor, "*b 2"], target: Float[Tensor, "*b 2"], valid: Bool[Tensor, "*b"]
) -> Tensor:
    """Mean square of both angles' errors, invalid samples counting as zero; radians squared."""
    with torch.autocast(predicted.device.type, enabled=False):
        known = torch.where(valid[..., None], target.float(), predicted.float().detach())
        squares = (predicted.float() - known).square().mean(dim=-1)
        return torch.where(valid, squares, torch.zeros_like(squares)).sum() / max(1, valid.numel())
