"""From the glasses' scene camera to the face camera: how the glasses sit on the head, and the pose of the head.

    v_camera = (face camera <- head pose) (head <- mount) v_tracker

The pose is known for each frame. The mount is one rotation for the whole drive, unknown: it is fitted so that the
tracker's gaze agrees with the gaze that the irises show in the head frame. Only training blocks take part, and what
remains is reported, there and on the other blocks.

A tracker's (azimuth, elevation) are [yaw, pitch] of our formula in a head frame whose axes are the scene camera's,
turned by 180 degrees about y: glasses that sit straight have the mount 1.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from pydantic import PositiveInt

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angle_between_deg, pitchyaw_from_vector, vector_from_pitchyaw

GazeFrame = Literal["scene", "camera"]  # in which the table's angles are: glasses on the head, or the face camera
MIN_READINGS = 20
_ROUNDS, _OUTLIER = 10, 3.0  # readings further off than this many robust deviations take no part
Rows = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


class Mount(Config):
    """Rotation of the glasses to the head, and how well it explains what the irises show."""

    rotation: Rows
    num_readings: PositiveInt  # of the training blocks
    residual_median_deg: float
    residual_rms_deg: float
    held_out_median_deg: float | None  # on all other blocks
    angle_deg: float  # by which the glasses are turned on the head

    @property
    def matrix(self) -> Float[ndarray, "3 3"]:
        """The rotation as an array."""
        return np.array(self.rotation)


def fit_mount(
    tracker: Float[ndarray, "n 2"], irises: Float[ndarray, "n 2"], readable: ndarray, training: Sequence[int]
) -> Mount:
    """Fits the mount on the readable frames among `training`.

    Args:
        tracker: `[elevation, azimuth]` in radians, signs settled.
        irises: `[pitch, yaw]` in radians in the head frame, of the same frames.
        readable: whether both eyes were open and agreed.
        training: positions of the frames of the training blocks.

    Raises:
        BadInput: too few readings.
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
    kept = inside
    rotation = kabsch(source[kept], target[kept])
    for _ in range(_ROUNDS):
        residual = angle_deg(source @ rotation.T, target)
        limit = _OUTLIER * 1.4826 * float(np.median(residual[kept]))
        kept = inside & (residual <= limit)
        rotation = kabsch(source[kept], target[kept])
    residual = angle_deg(source @ rotation.T, target)
    return Mount(
        rotation=tuple(tuple(float(x) for x in row) for row in rotation),  # type: ignore[arg-type]
        num_readings=int(inside.sum()),
        residual_median_deg=float(np.median(residual[inside])),
        residual_rms_deg=float(np.sqrt((residual[inside] ** 2).mean())),
        held_out_median_deg=float(np.median(residual[outside])) if outside.any() else None,
        angle_deg=float(np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))),
    )


def kabsch(source: Float[ndarray, "n 3"], target: Float[ndarray, "n 3"]) -> Float[ndarray, "3 3"]:
    """The rotation that turns `source` best onto `target`, in least squares (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(target.T @ source)
    return np.asarray(u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt)


def directions(pitchyaw: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 3"]:
    """`vector_from_pitchyaw` for arrays."""
    return np.asarray(vector_from_pitchyaw(torch.as_tensor(pitchyaw, dtype=torch.float64)).numpy())


def angles(vectors: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
    """`pitchyaw_from_vector` for arrays."""
    return np.asarray(pitchyaw_from_vector(torch.as_tensor(vectors, dtype=torch.float64)).numpy())


def angle_deg(a: Float[ndarray, "*b 3"], b: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b"]:
    """`angle_between_deg` for arrays."""
    return np.asarray(angle_between_deg(torch.as_tensor(a), torch.as_tensor(b)).numpy())
