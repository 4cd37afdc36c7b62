"""Angle conventions of published data sets, each a function to ours (`geometry/angles.py`).

Each takes an array whose last axis holds two angles in radians or one vector of any length, and returns `[pitch, yaw]`
in radians with our signs, float64. The adapters' table names the convention of each data set.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw

Convert = Callable[[Float[ndarray, "*b n"]], Float[ndarray, "*b 2"]]


def pitch_yaw(angles: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 2"]:
    """`[pitch, yaw]` with our signs: ETH-XGaze, MPIIFaceGaze (normalised), FAZE, STED, EVE's labels."""
    return np.asarray(angles, dtype=np.float64)


def yaw_pitch(angles: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 2"]:
    """The same two angles in the order `[yaw, pitch]`: GazeHub's label files."""
    return np.asarray(angles, dtype=np.float64)[..., ::-1]


def pitch_down(angles: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 2"]:
    """`[pitch, yaw]` whose pitch grows downward: `pitchyaw_head` of GazeNeRF and GazeGaussian."""
    return np.asarray(angles, dtype=np.float64) * [-1, 1]


def camera_vector(vector: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
    """A vector from the eye to the target, x right, y down, z away from the camera."""
    return pitchyaw_from_vector(_tensor(vector)).numpy()


def user_vector(vector: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
    """The opposite of `camera_vector`: the convention of the tensor code of ETH-XGaze, STED and EVE."""
    return camera_vector(-np.asarray(vector, dtype=np.float64))


def eve_array_vector(vector: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
    """x right, y down, z toward the camera, the convention of EVE's array code (its tensor code is `user_vector`)."""
    return camera_vector(np.asarray(vector, dtype=np.float64) * [-1, 1, -1])


def gaze360_vector(vector: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
    """Gaze360's eye frame: x left, y up, z away from the camera."""
    return camera_vector(np.asarray(vector, dtype=np.float64) * [-1, -1, 1])


ANGLES: dict[str, Convert] = {
    function.__name__: function
    for function in (pitch_yaw, yaw_pitch, pitch_down, camera_vector, user_vector, eve_array_vector, gaze360_vector)
}


def to_canonical(angles: Float[ndarray, "*b n"], convention: str) -> Float[ndarray, "*b 2"]:
    """Converts labels of the named convention to our `[pitch, yaw]` rad."""
    return ANGLES[convention](angles)


def direction(pitchyaw: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 3"]:
    """Unit vector of our `[pitch, yaw]`."""
    return vector_from_pitchyaw(_tensor(pitchyaw)).numpy()


def rotated(pitchyaw: Float[ndarray, "*b 2"], rotation: Float[ndarray, "3 3"]) -> Float[ndarray, "*b 2"]:
    """Our `[pitch, yaw]` of the same gaze in the frame to which `rotation` maps."""
    return camera_vector(direction(pitchyaw) @ rotation.T)


def head_rotation(face_head_pose: Float[ndarray, "2"]) -> Float[ndarray, "3 3"]:
    """Head frame to normalised camera, from the published `[pitch, yaw]` of the head.

    The published pair is (asin z_y, atan2(z_x, z_z)) of the head's z axis, which points into the head; with our signs
    it is where the face points. Normalisation leaves the head's x axis level, so two angles are the whole rotation.
    """
    into = -direction(face_head_pose)
    right = np.cross([0.0, 1.0, 0.0], into)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(into, right), into], axis=1)


def face_head_pose(rotation: Float[ndarray, "3 3"]) -> Float[ndarray, "2"]:
    """The published `[pitch, yaw]` of a head; inverse of `head_rotation` for heads without roll."""
    return camera_vector(-rotation[:, 2])


def _tensor(values: Float[ndarray, "*b n"]) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))
