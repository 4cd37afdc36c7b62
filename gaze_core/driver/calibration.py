"""From the glasses' scene camera to the face camera: how the glasses sit on the head, and the pose of the head.

    v_camera = (face camera <- head pose) (head <- mount) v_tracker

The pose is known for each frame. The mount is one rotation for the whole drive, unknown: its pitch and yaw are fitted
so that the tracker's gaze agrees with the gaze predicted from the irises in the head frame. It has no roll: glasses rest on
both ears, and gaze that stays near one line says almost nothing about roll (fitted freely, 50 frames of a drive gave 17
degrees). Only training blocks take part, and what remains is reported, there and on the other blocks.

A tracker's (azimuth, elevation) are [yaw, pitch] of our formula in a head frame whose axes are the scene camera's,
turned by 180 degrees about y: glasses that sit straight have the mount 1. An error of the mount shifts labels
and predictions alike, so it does not affect the error of an estimator that was fitted to these labels; it does add to
the error of an estimator that was not.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from pydantic import PositiveInt
from scipy.optimize import least_squares

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angle_between_deg, pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.rotations import eye_rotation

GazeFrame = Literal["scene", "camera"]  # in which the table's angles are: glasses on the head, or the face camera
MIN_READINGS = 20
_OUTLIER_RAD = 0.1  # scale of the robust loss (soft L1): larger residuals count linearly


class Mount(Config):
    """Rotation from the glasses to the head, and how well it explains the gaze predicted from the irises."""

    pitch_deg: float  # > 0: the glasses look higher than the head
    yaw_deg: float
    num_readings: PositiveInt  # iris predictions in the training blocks
    residual_median_deg: float
    residual_rms_deg: float
    held_out_median_deg: float | None  # on all other blocks

    @property
    def matrix(self) -> Float[ndarray, "3 3"]:
        """The rotation from the glasses' frame to the head frame."""
        return _rotation(np.deg2rad([self.pitch_deg, self.yaw_deg]))


def fit_mount(
    tracker: Float[ndarray, "n 2"], irises: Float[ndarray, "n 2"], readable: ndarray, training: Sequence[int]
) -> Mount:
    """Fits the mount on the readable frames among `training`.

    Args:
        tracker: `[elevation, azimuth]` in radians, with verified signs.
        irises: `[pitch, yaw]` in radians in the head frame, of the same frames.
        readable: whether both eyes were open and agreed.
        training: positions of the frames of the training blocks.

    Raises:
        BadInput: too few frames show both irises.
    """
    chosen = np.zeros(len(tracker), dtype=bool)
    chosen[list(training)] = True
    inside, outside = chosen & readable, ~chosen & readable
    if inside.sum() < MIN_READINGS:
        raise BadInput(
            f"only {inside.sum()} of {len(training)} training frames show both irises, expected {MIN_READINGS} or "
            "more to learn how the glasses sit on the head; extract more frames, or set extract.gaze_frame=camera if "
            "the angles are in the face camera's frame"
        )
    source, target = directions(tracker), directions(irises)

    def residuals(pitchyaw: Float[ndarray, "2"]) -> Float[ndarray, " k"]:
        return (source[inside] @ _rotation(pitchyaw).T - target[inside]).ravel()

    fitted = least_squares(residuals, np.zeros(2), loss="soft_l1", f_scale=_OUTLIER_RAD).x
    residual = angle_deg(source @ _rotation(fitted).T, target)
    return Mount(
        pitch_deg=float(np.rad2deg(fitted[0])),
        yaw_deg=float(np.rad2deg(fitted[1])),
        num_readings=int(inside.sum()),
        residual_median_deg=float(np.median(residual[inside])),
        residual_rms_deg=float(np.sqrt((residual[inside] ** 2).mean())),
        held_out_median_deg=float(np.median(residual[outside])) if outside.any() else None,
    )


def _rotation(pitchyaw: Float[ndarray, "2"]) -> Float[ndarray, "3 3"]:
    return np.asarray(eye_rotation(torch.as_tensor(pitchyaw, dtype=torch.float64)).numpy())


def directions(pitchyaw: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 3"]:
    """`vector_from_pitchyaw` for arrays."""
    return np.asarray(vector_from_pitchyaw(torch.as_tensor(pitchyaw, dtype=torch.float64)).numpy())


def angles(vectors: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
    """`pitchyaw_from_vector` for arrays."""
    return np.asarray(pitchyaw_from_vector(torch.as_tensor(vectors, dtype=torch.float64)).numpy())


def angle_deg(a: Float[ndarray, "*b 3"], b: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b"]:
    """`angle_between_deg` for arrays."""
    return np.asarray(angle_between_deg(torch.as_tensor(a), torch.as_tensor(b)).numpy())
