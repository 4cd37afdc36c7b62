"""Rules for the values of a subject file, one row each; `data/validation.py` applies them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy import ndarray

from gaze_core.data.schema import ARKIT
from gaze_core.geometry.angles import angle_between_deg, vector_from_pitchyaw

_ROTATION_TOLERANCE = 1e-4
_GAZE_TOLERANCE_DEG = 0.1
_ANGLE_TOLERANCE_RAD = 1e-6  # pi in float32 is a little more than pi
_COEFFICIENT_TOLERANCE = 1e-3
_FAR_OUTSIDE = 0.5  # image sizes beyond the border
# Limits of lengths of a head; other units (millimetres, decimetres) or a missing scale violate them.
_EYE_DISTANCE_M, _FACE_SIZE_M, _CAMERA_DISTANCE_M = (0.03, 0.12), (0.05, 0.6), (0.03, 30.0)
_BLACK = 1  # the largest value of 8-bit images that were cast from [0, 1]
_ON = 127  # above it a mask's pixel counts as set, as in `data/subjects.py`


@dataclass(frozen=True)
class Check:
    """A rule. `wrong` takes the `fields`, frames first, and returns for each frame whether the rule is violated."""

    where: str
    expected: str
    fields: tuple[str, ...]
    wrong: Callable[..., ndarray]
    basis: str = ""  # the rule applies only to expression codes of this basis
    severity: Literal["error", "warning"] = "error"


def _per_frame(values: ndarray) -> ndarray:
    return values.reshape(len(values), -1)


def _not_finite(values: ndarray, *valid: ndarray) -> ndarray:
    return np.logical_and.reduce([~np.isfinite(_per_frame(values)).all(axis=1), *valid])


def _finite_or_zero(values: ndarray) -> ndarray:
    """Values with NaN and infinity set to zero, since only the rule for finite numbers reports those."""
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _out_of_range(pitchyaw: ndarray, valid: ndarray) -> ndarray:
    beyond = np.abs(_finite_or_zero(pitchyaw)) > np.array([np.pi / 2, np.pi]) + _ANGLE_TOLERANCE_RAD
    return np.asarray(_per_frame(beyond).any(axis=1) & valid)


def _not_rigid(matrix: ndarray, *valid: ndarray) -> ndarray:
    """Not a rotation (orthonormal, determinant +1) above the row 0 0 0 1; non-finite numbers are left to their own rule."""
    finite = np.isfinite(_per_frame(matrix)).all(axis=1)
    exact = np.where(finite[:, None, None], matrix, np.eye(4)).astype(np.float64)
    rotation = exact[:, :3, :3]
    off = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    off = np.maximum(off, np.abs(np.linalg.det(rotation) - 1))
    off = np.maximum(off, np.abs(exact[:, 3] - [0, 0, 0, 1]).max(axis=1))
    return np.logical_and.reduce([off > _ROTATION_TOLERANCE, *valid])


def _no_pinhole(intrinsics_px: ndarray) -> ndarray:
    finite = np.isfinite(_per_frame(intrinsics_px)).all(axis=1)
    focal_px = intrinsics_px[:, [0, 1], [0, 1]]
    last_row = np.abs(_finite_or_zero(intrinsics_px)[:, 2] - [0, 0, 1]).max(axis=1)
    return np.asarray(finite & ((focal_px <= 0).any(axis=1) | (last_row > _ROTATION_TOLERANCE)))


def _outside_limits(lengths_m: ndarray, limits_m: tuple[float, float], *valid: ndarray) -> ndarray:
    """Lengths outside of the limits; non-finite ones are left to their own rule."""
    outside = np.isfinite(lengths_m) & ((lengths_m < limits_m[0]) | (lengths_m > limits_m[1]))
    return np.logical_and.reduce([outside, *valid])


def _no_eye_distance(eye_centers_m: ndarray, valid: ndarray) -> ndarray:
    with np.errstate(all="ignore"):
        return _outside_limits(
            np.linalg.norm(eye_centers_m[:, 0] - eye_centers_m[:, 1], axis=-1), _EYE_DISTANCE_M, valid
        )


def _no_face_size(landmarks_m: ndarray, valid: ndarray) -> ndarray:
    with np.errstate(all="ignore"):
        return _outside_limits(np.ptp(landmarks_m, axis=1).max(axis=-1), _FACE_SIZE_M, valid)


def _not_before_the_camera(head_to_world: ndarray, world_to_camera: ndarray, valid: ndarray) -> ndarray:
    with np.errstate(all="ignore"):
        return _outside_limits((world_to_camera @ head_to_world[:, :, 3:])[:, 2, 0], _CAMERA_DISTANCE_M, valid)


def _not_on_the_image(intrinsics_px: ndarray, image: ndarray) -> ndarray:
    size_px, center_px = np.array(image.shape[2:0:-1]), intrinsics_px[:, :2, 2]
    return np.asarray(_per_frame((center_px < 0) | (center_px > size_px)).any(axis=1))


def _black(image: ndarray) -> ndarray:
    return np.asarray(_per_frame(image).max(axis=1) <= _BLACK)


def _far_outside(landmarks_px: ndarray, image: ndarray) -> ndarray:
    size_px = np.array(image.shape[2:0:-1])  # (width, height)
    margin_px, points_px = _FAR_OUTSIDE * size_px, _finite_or_zero(landmarks_px)
    return np.asarray(_per_frame((points_px < -margin_px) | (points_px > size_px + margin_px)).any(axis=1))


def _not_binary(mask: ndarray) -> ndarray:
    return np.asarray(_per_frame((mask != 0) & (mask != 255)).any(axis=1))


def _empty(mask: ndarray, *valid: ndarray) -> ndarray:
    return np.logical_and.reduce([_per_frame(mask).max(axis=1) <= _ON, *valid])


def _other_area(area_px: ndarray, mask: ndarray) -> ndarray:
    return np.asarray(area_px != (_per_frame(mask) > _ON).sum(axis=1))


def _gazes_disagree(
    gaze_camera: ndarray, gaze_head: ndarray, head_to_world: ndarray, world_to_camera: ndarray,
    valid_gaze: ndarray, valid_pose: ndarray,
) -> ndarray:  # fmt: skip
    """`gaze_head`, rotated into the camera frame, differs from `gaze_camera`."""
    with np.errstate(all="ignore"):  # non-finite numbers are left to their own rule
        head_to_camera = world_to_camera[:, :3, :3].astype(np.float64) @ head_to_world[:, :3, :3]
    in_camera, in_head = (
        vector_from_pitchyaw(torch.from_numpy(gaze.astype(np.float64))) for gaze in (gaze_camera, gaze_head)
    )
    turned = (torch.from_numpy(head_to_camera) @ in_head[..., None])[..., 0]
    angle_deg = angle_between_deg(turned, in_camera).numpy()
    return np.asarray((angle_deg > _GAZE_TOLERANCE_DEG) & valid_gaze & valid_pose)


def _no_coefficients(code: ndarray, valid: ndarray) -> ndarray:
    used, padding = np.split(_finite_or_zero(code), [len(ARKIT)], axis=1)
    beyond = (used < -_COEFFICIENT_TOLERANCE) | (used > 1 + _COEFFICIENT_TOLERANCE)
    return np.asarray((beyond.any(axis=1) | (padding != 0).any(axis=1)) & valid)


def _no_sigma(sigma_rad: ndarray, valid: ndarray) -> ndarray:
    finite = np.nan_to_num(sigma_rad, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(((finite <= 0) | (finite > np.pi)) & valid)


def _eyes_not_finite(pitchyaw: ndarray, valid: ndarray) -> ndarray:
    return np.asarray((~np.isfinite(pitchyaw).all(axis=-1) & valid).any(axis=1))


def _eyes_out_of_range(pitchyaw: ndarray, valid: ndarray) -> ndarray:
    used = np.where(valid[..., None], pitchyaw, 0)
    return _out_of_range(used, np.ones(len(used), bool))


_GAZES = ("gaze_camera", "gaze_head", "gaze_head_eyes")
_ANGLES = "pitch in [-pi/2, pi/2] and yaw in [-pi, pi], radians"
_MASKS = ("head_mask", "observed_mask", "left_eye_mask", "right_eye_mask")
# Numeric fields with the flags that make them valid; those without a flag are always valid.
_NUMBERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_GAZES, ("valid/gaze",)),
    "head_to_world": ("valid/head_pose",),
    "landmarks_3d_head_m": ("valid/landmarks_3d",),
    "eye_centers_head_m": ("valid/landmarks_3d",),
    "identity_code": ("valid/identity",),
    "expression_code": ("valid/expression",),
    "landmarks_2d_px": (),
    "intrinsics_px": (),
    "world_to_camera": (),
    "time_s": (),
    "audio_features": (),
    "published/gaze_rotation": (),
    "published/scale": (),
    "published/origin_m": (),
}


def _finite(name: str, flags: tuple[str, ...]) -> Check:
    expected = "finite numbers" + "".join(f" where {flag} is true" for flag in flags)
    return Check(name, expected, (name, *flags), _not_finite)


def _range(limits_m: tuple[float, float]) -> str:
    return f"{limits_m[0]:g} to {limits_m[1]:g} m"


CHECKS = (
    *(_finite(name, flags) for name, flags in _NUMBERS.items()),
    *(
        Check(name, _ANGLES, (name, "valid/gaze"), _out_of_range)
        for name in _GAZES
    ),
    Check("gaze_sigma_rad", "an angle above 0 and up to pi where valid/gaze is true", ("gaze_sigma_rad", "valid/gaze"),
          _no_sigma),
    Check("gaze_camera_eyes", "finite numbers where valid/gaze_eyes is true",
          ("gaze_camera_eyes", "valid/gaze_eyes"), _eyes_not_finite),
    Check("gaze_camera_eyes", _ANGLES, ("gaze_camera_eyes", "valid/gaze_eyes"), _eyes_out_of_range),
    *(
        Check(name, "a rotation (orthonormal, determinant +1) above the row 0 0 0 1", (name, *flags), _not_rigid)
        for name, flags in (("world_to_camera", ()), ("head_to_world", ("valid/head_pose",)))
    ),
    Check("intrinsics_px", "positive focal lengths above the row 0 0 1", ("intrinsics_px",), _no_pinhole),
    Check(
        "intrinsics_px", "a principal point on the stored image", ("intrinsics_px", "image"), _not_on_the_image
    ),
    Check(
        "eye_centers_head_m", f"eyeball centres {_range(_EYE_DISTANCE_M)} apart",
        ("eye_centers_head_m", "valid/landmarks_3d"), _no_eye_distance,
    ),
    Check(
        "landmarks_3d_head_m", f"a face of {_range(_FACE_SIZE_M)}", ("landmarks_3d_head_m", "valid/landmarks_3d"),
        _no_face_size,
    ),
    Check(
        "head_to_world", f"a head {_range(_CAMERA_DISTANCE_M)} in front of the camera",
        ("head_to_world", "world_to_camera", "valid/head_pose"), _not_before_the_camera,
    ),
    *(
        Check(name, "an image in [0, 255] that is not black", (name,), _black)
        for name in ("image", "left_eye_image", "right_eye_image")
    ),
    Check(
        "landmarks_2d_px", "points on the image or near it", ("landmarks_2d_px", "image"), _far_outside,
        severity="warning",
    ),
    Check(
        "expression_code", "ARKit coefficients in [0, 1], then zeros", ("expression_code", "valid/expression"),
        _no_coefficients, basis="arkit",
    ),
    *(Check(name, "values 0 and 255 only", (name,), _not_binary) for name in _MASKS),
    Check("head_mask", "a head; samples without one are dropped", ("head_mask",), _empty, severity="warning"),
    *(
        Check(f"{side}_eye_mask", f"an eyeball where valid/{side}_eye is true",
              (f"{side}_eye_mask", f"valid/{side}_eye"), _empty)
        for side in ("left", "right")
    ),
    Check("head_area_px", "the number of set pixels of head_mask", ("head_area_px", "head_mask"), _other_area),
    Check(
        "gaze_head", f"the direction of gaze_camera, within {_GAZE_TOLERANCE_DEG} degrees, when turned by the poses",
        ("gaze_camera", "gaze_head", "head_to_world", "world_to_camera", "valid/gaze", "valid/head_pose"),
        _gazes_disagree,
    ),
)  # fmt: skip
