"""Camera rigs, and the normalised view of the face from each camera."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from pydantic import PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.geometry.landmarks import LEFT_EYE, MOUTH_LEFT, MOUTH_RIGHT, RIGHT_EYE

RigName = Literal["frontal", "compact", "dome", "eth_xgaze"]

# [pitch, yaw] in degrees of each camera, seen from the rig's centre: (6, -13) is above, at image right.
RIGS: dict[RigName, tuple[tuple[float, float], ...]] = {
    "frontal": ((0, 0),),
    "compact": ((0, 0), (6, 13), (6, -13), (-6, 13), (-6, -13)),
    "dome":    ((0, 0), (0, 18), (0, -18), (0, 36), (0, -36),
                (14, 0), (14, 24), (14, -24), (-12, 0), (-12, 24), (-12, -24)),
    # As many cameras as ETH-XGaze's rig and about its spread; the exact places are ours.
    "eth_xgaze": ((0, 0), (0, 20), (0, -20), (0, 40), (0, -40), (0, 60), (0, -60),
                  (20, 0), (20, 25), (20, -25), (20, 50), (20, -50), (40, 0),
                  (-20, 15), (-20, -15), (-20, 45), (-20, -45), (-40, 0)),
}  # fmt: skip
RIG_RADIUS_M = 0.9


class View(Config):
    """The virtual pinhole camera of normalised crops, the same for every image (Zhang et al. 2018)."""

    size_px: PositiveInt = 128
    focal_px: PositiveFloat = 264.0
    distance_m: PositiveFloat = 0.68

    def intrinsics(self) -> Float[ndarray, "3 3"]:
        """Intrinsics in pixels; the principal point is the centre of the image."""
        return np.array([[self.focal_px, 0, self.size_px / 2], [0, self.focal_px, self.size_px / 2], [0, 0, 1]])


def face_center(landmarks_m: Float[ndarray, "68 3"]) -> Float[ndarray, "3"]:
    """The centre of normalised views: midway between the eyes' and the mouth's centre, as in ETH-XGaze."""
    eyes = (landmarks_m[LEFT_EYE].mean(axis=0) + landmarks_m[RIGHT_EYE].mean(axis=0)) / 2
    return np.asarray((eyes + (landmarks_m[MOUTH_LEFT] + landmarks_m[MOUTH_RIGHT]) / 2) / 2)


def camera_positions(rig: RigName) -> Float[ndarray, "c 3"]:
    """Camera centres in the world, metres; the rig's centre is the origin and camera 0 looks along +z."""
    return RIG_RADIUS_M * vector_from_pitchyaw(torch.tensor(RIGS[rig]).double().deg2rad()).numpy()


def normalized_extrinsics(
    camera_m: Float[ndarray, "3"],
    head_to_world: Float[ndarray, "4 4"],
    center_m: Float[ndarray, "3"],
    distance_m: float,
) -> Float[ndarray, "4 4"]:
    """World-to-camera of the virtual camera that looks at the face from a camera's side, at a fixed distance.

    The head's x axis appears without roll (Zhang et al. 2018, sec. 4.2). `center_m` is in the head frame.
    """
    target = head_to_world[:3, :3] @ center_m + head_to_world[:3, 3]
    forward = (target - camera_m) / np.linalg.norm(target - camera_m)
    down = np.cross(forward, head_to_world[:3, 0])
    down /= np.linalg.norm(down)
    rotation = np.stack([np.cross(down, forward), down, forward])
    out = np.eye(4)
    out[:3, :3] = rotation
    out[:3, 3] = -rotation @ (target - distance_m * forward)
    return out
