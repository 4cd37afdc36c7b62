"""The one gaze-angle convention.

Camera frame: x right, y down, z forward (OpenCV). A gaze is `[pitch, yaw]` in radians unless a name ends in
`_deg`; (0, 0) looks straight at the camera, along -z; pitch > 0 looks up, yaw > 0 toward image left:

    v = (-cos p sin y, -sin p, -cos p cos y)

The head frame uses the same formula: a head that faces the camera has the camera's axes.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def vector_from_pitchyaw(pitchyaw: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 3"]:
    """Unit gaze vector of `[pitch, yaw]` in radians (Zhang et al. 2018, sec. 4.2, axes as in the module docstring)."""
    pitch, yaw = pitchyaw.unbind(-1)
    return -torch.stack([pitch.cos() * yaw.sin(), pitch.sin(), pitch.cos() * yaw.cos()], dim=-1)


def pitchyaw_from_vector(vector: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 2"]:
    """`[pitch, yaw]` in radians of a non-zero vector of any length; inverse of `vector_from_pitchyaw`."""
    x, y, z = vector.unbind(-1)
    # atan2 over the horizontal length stays exact at the poles, where asin of a rounded value leaves [-1, 1].
    return torch.stack([torch.atan2(-y, torch.hypot(x, z)), torch.atan2(-x, -z)], dim=-1)


def angle_between_deg(a: Float[Tensor, "*b 3"], b: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b"]:
    """Angle between two non-zero vectors, in degrees, in [0, 180]."""
    # atan2(|a x b|, a . b) keeps precision and a finite gradient at 0 and 180 degrees; acos loses both.
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b, dim=-1).norm(dim=-1), (a * b).sum(-1)))


def angular_error_deg(a: Float[Tensor, "*b 2"], b: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b"]:
    """Angle in degrees between two gazes given as `[pitch, yaw]` in radians. Lower is better."""
    return angle_between_deg(vector_from_pitchyaw(a), vector_from_pitchyaw(b))
