"""Where a gaze meets the screen, and the gaze that meets a point of it. Vectorised over frames; lengths in metres."""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.estimation.recording_schema import Screen
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw


def point_of_gaze(
    gaze_rad: Float[ndarray, "n 2"],
    rotation: Float[ndarray, "n 3 3"],
    origin_m: Float[ndarray, "n 3"],
    screen: Screen,
) -> Float[ndarray, "n 2"]:
    """The point of the screen's plane (m, screen frame) that the gaze from `origin_m` meets; NaN where it meets none.

    Args:
        gaze_rad: in the normalised camera's frame.
        rotation: camera frame to normalised camera's frame.
        origin_m: in the camera frame.
        screen: its size and place.
    """
    direction = np.einsum("nji,nj->ni", rotation.astype(np.float64), directions(gaze_rad))
    to_screen = np.linalg.inv(screen.matrix)
    start = origin_m.astype(np.float64) @ to_screen[:3, :3].T + to_screen[:3, 3]
    along = direction @ to_screen[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = -start[:, 2] / along[:, 2]
        point = start + distance[:, None] * along
    return np.where(distance[:, None] > 0, point, np.nan)[:, :2]


def gaze_at(
    point_m: Float[ndarray, "n 2"],
    rotation: Float[ndarray, "n 3 3"],
    origin_m: Float[ndarray, "n 3"],
    screen: Screen,
) -> Float[ndarray, "n 2"]:
    """`[pitch, yaw]` (rad, normalised camera's frame) from `origin_m` to a point of the screen; inverse of `point_of_gaze`."""
    flat = np.concatenate([point_m, np.zeros((len(point_m), 1))], axis=1)
    target = flat @ screen.matrix[:3, :3].T + screen.matrix[:3, 3]
    return pitchyaw(np.einsum("nij,nj->ni", rotation.astype(np.float64), target - origin_m))


def pixels(point_m: Float[ndarray, "n 2"], screen: Screen) -> Float[ndarray, "n 2"]:
    """Points of the screen in its pixels."""
    return np.asarray(point_m * screen.px_per_m)


def directions(pitchyaw_rad: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 3"]:
    """`vector_from_pitchyaw` for arrays, in double precision."""
    return np.asarray(vector_from_pitchyaw(torch.as_tensor(np.asarray(pitchyaw_rad, dtype=np.float64))).numpy())


def pitchyaw(vector: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
    """`pitchyaw_from_vector` for arrays, in double precision."""
    return np.asarray(pitchyaw_from_vector(torch.as_tensor(np.asarray(vector, dtype=np.float64))).numpy())
