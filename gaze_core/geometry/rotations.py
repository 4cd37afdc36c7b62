"""Rotations. Quaternions are wxyz; matrices act on column vectors; axis-angle vectors are in radians."""

import torch
from jaxtyping import Float
from torch import Tensor


def matrix_from_quaternion(quats_wxyz: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrix of a non-zero quaternion, which is normalised first."""
    w, x, y, z = torch.nn.functional.normalize(quats_wxyz, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def quaternion_from_matrix(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Unit quaternion (wxyz, w >= 0) of a rotation matrix.

    Of the four classical formulas the one with the largest divisor is used, so that values and gradients stay finite
    at rotations by 180 degrees (Shepperd 1978).
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    four_squared = torch.stack(
        [1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], dim=-1
    )
    candidates = torch.stack(
        [
            torch.stack([four_squared[..., 0], m21 - m12, m02 - m20, m10 - m01], dim=-1),
            torch.stack([m21 - m12, four_squared[..., 1], m10 + m01, m02 + m20], dim=-1),
            torch.stack([m02 - m20, m10 + m01, four_squared[..., 2], m12 + m21], dim=-1),
            torch.stack([m10 - m01, m20 + m02, m21 + m12, four_squared[..., 3]], dim=-1),
        ],
        dim=-2,
    )
    best = four_squared.argmax(dim=-1)[..., None, None].expand(*four_squared.shape[:-1], 1, 4)
    quats = torch.nn.functional.normalize(candidates.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(quats[..., :1] < 0, -quats, quats)


def multiply_quaternions(a: Float[Tensor, "*b 4"], b: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """Hamilton product: the rotation `b` followed by `a`."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


def rotate(matrix: Float[Tensor, "*b 3 3"], points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
    """Rotates each of the n points by its batch element's matrix."""
    return points @ matrix.transpose(-1, -2)


def matrix_from_axis_angle(axis_angle_rad: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrix of an axis-angle vector (so(3) exponential), exact and differentiable at zero."""
    x, y, z = axis_angle_rad.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(skew)


def axis_angle_from_matrix(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Axis-angle vector in radians, of length in [0, pi] (so(3) logarithm)."""
    quats = quaternion_from_matrix(matrix)
    sine, cosine = quats[..., 1:].norm(dim=-1, keepdim=True), quats[..., :1]
    # Near the identity the angle is twice the sine, and 0/0 must not appear in value or gradient.
    ratio = torch.where(sine > 1e-7, 2 * torch.atan2(sine, cosine) / sine.clamp_min(1e-7), 2 / cosine)
    return quats[..., 1:] * ratio


def eye_rotation(gaze_head: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation about the eyeball centre that turns the rest gaze (0, 0) into `gaze_head`, without torsion.

    First pitch about x, then yaw about y (Fick order), in the head frame.
    """
    pitch, yaw = gaze_head.unbind(-1)
    zero, one = torch.zeros_like(pitch), torch.ones_like(pitch)
    about_x = torch.stack(
        [one, zero, zero, zero, pitch.cos(), pitch.sin(), zero, -pitch.sin(), pitch.cos()], dim=-1
    ).unflatten(-1, (3, 3))
    about_y = torch.stack([yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos()], dim=-1).unflatten(
        -1, (3, 3)
    )
    return about_y @ about_x
