"""Exact labels of a moment seen by a camera, and the windows of its crops, for any small error of the normalisation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.estimation.screen import pitchyaw
from gaze_core.estimation.viewing.plan import Moment
from gaze_core.estimation.viewing.setup import (
    EYE_WIDTH_M,
    FACE_WIDTH_M,
    CameraName,
    Window,
    normalising_rotation,
    target_m,
    window_at,
    world_to_camera,
)
from gaze_core.geometry.landmarks import LEFT_EYE, RIGHT_EYE
from gaze_core.synthesis.factory import pose_matrix
from gaze_core.synthesis.rig import face_center

PATCHES = ("face", "left", "right")
Off = tuple[float, float]


@dataclass(frozen=True, eq=False)
class HeadPoints:
    """Points of a person's resting face in the head frame, metres."""

    landmarks_m: Float[ndarray, "68 3"]
    eye_centers_m: Float[ndarray, "2 3"]  # of the eyeballs: left, right

    @property
    def origins_m(self) -> dict[str, Float[ndarray, "3"]]:
        """Where gaze starts: at the face's centre, and at the middle of each eye's corners."""
        points = self.landmarks_m
        return {
            "face": face_center(points),
            "left": points[LEFT_EYE][[0, 3]].mean(axis=0),
            "right": points[RIGHT_EYE][[0, 3]].mean(axis=0),
        }


@dataclass(frozen=True, eq=False)
class Seen:
    """A moment in the frame of a camera; metres."""

    head_to_camera: Float[ndarray, "4 4"]
    origins_m: dict[str, Float[ndarray, "3"]]
    target_m: Float[ndarray, "3"]
    landmarks_m: Float[ndarray, "68 3"]
    rotation: Float[ndarray, "3 3"]  # R: camera to virtual camera

    def turned(self, error: Float[ndarray, "3 3"]) -> "Seen":
        """The same moment, normalised with R a little wrong."""
        return Seen(self.head_to_camera, self.origins_m, self.target_m, self.landmarks_m, error @ self.rotation)

    def gaze_rad(self, patch: str = "face") -> Float[ndarray, "2"]:
        """`[pitch, yaw]` from the origin of a patch to the target, in the virtual camera's frame."""
        return pitchyaw(self.rotation @ (self.target_m - self.origins_m[patch]))

    @property
    def head_rad(self) -> Float[ndarray, "2"]:
        """`[pitch, yaw]` of the direction in which the head faces, in the virtual camera's frame."""
        return pitchyaw(-self.rotation @ self.head_to_camera[:3, 2])

    def window(self, patch: str, size_px: int, off_px: Off = (0, 0)) -> Window:
        """The window of a patch in the virtual camera, `size_px` wide; `off_px`: how far its middle misses the origin."""
        center = self.rotation @ self.origins_m[patch]
        width_m = FACE_WIDTH_M if patch == "face" else EYE_WIDTH_M
        return window_at(center, width_m, size_px, off_px)


def see(moment: Moment, points: HeadPoints, camera: CameraName) -> Seen:
    """The moment as a camera sees it, exactly normalised."""
    head_to_camera = world_to_camera(camera) @ head_to_world(moment)

    def placed(point_m: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 3"]:
        return np.asarray(point_m @ head_to_camera[:3, :3].T + head_to_camera[:3, 3])

    extrinsics = world_to_camera(camera)
    target = extrinsics[:3, :3] @ target_m(moment.point_px) + extrinsics[:3, 3]
    origins = {name: placed(point) for name, point in points.origins_m.items()}
    rotation = normalising_rotation(origins["face"], head_to_camera[:3, :3])
    return Seen(head_to_camera, origins, target, placed(points.landmarks_m), rotation)


def head_to_world(moment: Moment) -> Float[ndarray, "4 4"]:
    """Pose of the head."""
    return pose_matrix(moment.head[:3], moment.head[3:])


def eyes_gaze_head(moment: Moment, eye_centers_m: Float[ndarray, "2 3"]) -> Float[ndarray, "2 2"]:
    """`[pitch, yaw]` (rad, head frame) of the left and right eyeball toward the point of gaze."""
    pose = head_to_world(moment)
    in_head = pose[:3, :3].T @ (target_m(moment.point_px) - pose[:3, 3])
    return pitchyaw(in_head - eye_centers_m)
