"""Parts of the augmentation of training images: rotation, shift, loss of resolution, and rotation of labels.

Random numbers are torch's on the CPU, which each step seeds, so that every device gets the same ones. Which are
drawn, in which order, is decided by the training (`driver/faces.py`, `stages/judge/faces.py`).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.rotations import matrix_from_axis_angle


def signed(*shape: int) -> Tensor:
    """Random numbers between -1 and 1."""
    return 2 * torch.rand(*shape) - 1


def roll_rotations(angle_rad: Float[Tensor, " n"]) -> Float[Tensor, "n 3 3"]:
    """Rotations about the camera's axis, clockwise in the image."""
    return matrix_from_axis_angle(functional.pad(angle_rad[:, None], (2, 0)))


def rotated(pitchyaw: Float[Tensor, "n 2"], turn: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 2"]:
    """Rotated directions, `[pitch, yaw]` rad."""
    return pitchyaw_from_vector((turn @ vector_from_pitchyaw(pitchyaw)[..., None])[..., 0])


def warped(
    rgb: Float[Tensor, "n 3 h w"], inverse: Float[Tensor, "n 2 2"], offset: Float[Tensor, "n 2 1"], *, on_white: bool
) -> Float[Tensor, "n 3 h w"]:
    """Affine warp: each output pixel samples `inverse` times its position plus `offset`, in half sides about the centre.

    Outside the image is white (`on_white`), else the border is repeated.
    """
    grid = functional.affine_grid(torch.cat([inverse, offset], dim=-1), list(rgb.shape), align_corners=False)
    if on_white:
        return 1 - functional.grid_sample(1 - rgb, grid, align_corners=False)
    return functional.grid_sample(rgb, grid, padding_mode="border", align_corners=False)


def downscaled(
    rgb: Float[Tensor, "n 3 h w"], chosen: Bool[Tensor, " n"] | Tensor, side_px: int
) -> Float[Tensor, "n 3 h w"]:
    """The chosen images downscaled to `side_px` and enlarged again, the others unchanged."""
    small = functional.interpolate(rgb[chosen], size=(side_px, side_px), mode="area")
    out = rgb.clone()
    out[chosen] = functional.interpolate(small, size=rgb.shape[-2:], mode="bilinear", align_corners=False)
    return out
