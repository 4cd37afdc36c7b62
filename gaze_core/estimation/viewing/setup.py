"""The set-up of a synthetic EVE recording: a person before a screen, cameras at its edges, and normalised windows.

World frame: x to image right of a camera that faces the person, y down, z away from the camera; a head at rest faces -z
from near the origin. Face and eye crops of a frame are windows of one virtual camera, at the place of the real one and
turned by R (`face_R`), so one gaze label is valid for all three, as in EVE.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.estimation.recording_schema import Screen

CameraName = Literal["basler", "webcam_l", "webcam_c", "webcam_r"]
SCREEN_PX, SCREEN_M = (1920, 1080), (0.553, 0.311)  # 25 inches
DISTANCE_M = 0.60  # from the head at rest to the screen
# Places in the world and focal lengths (px of 1920 x 1080). "l" is to the person's left.
_PLACES_M: dict[CameraName, tuple[float, float, float]] = {
    "basler": (0.0, 0.20, -DISTANCE_M),
    "webcam_l": (0.28, -0.18, -DISTANCE_M),
    "webcam_c": (0.0, -0.18, -DISTANCE_M),
    "webcam_r": (-0.28, -0.18, -DISTANCE_M),
}
_FOCAL_PX: dict[CameraName, float] = {"basler": 1800.0, "webcam_l": 1400.0, "webcam_c": 1400.0, "webcam_r": 1400.0}
RATE_HZ: dict[CameraName, int] = {"basler": 60, "webcam_l": 30, "webcam_c": 30, "webcam_r": 30}
_LOOKED_AT_M = (0.0, 0.03, 0.0)
FACE_WIDTH_M, EYE_WIDTH_M = 0.150, 0.042  # what a normalised crop is wide at the face's (an eye's) centre


def world_to_camera(camera: CameraName) -> Float[ndarray, "4 4"]:
    """Extrinsics of a camera, which looks at the head at rest without roll."""
    place = np.array(_PLACES_M[camera])
    forward = np.array(_LOOKED_AT_M) - place
    forward /= np.linalg.norm(forward)
    right = np.cross([0.0, 1, 0], forward)
    right /= np.linalg.norm(right)
    out = np.eye(4)
    out[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    out[:3, 3] = -out[:3, :3] @ place
    return out


def camera_matrix(camera: CameraName) -> Float[ndarray, "3 3"]:
    """Intrinsics of a camera, px of 1920 x 1080."""
    focal_px = _FOCAL_PX[camera]
    return np.array([[focal_px, 0, 960], [0, focal_px, 540], [0, 0, 1.0]])


def screen_to_world() -> Float[ndarray, "4 4"]:
    """The screen stands upright, its middle at the height of the eyes. Its x axis is the world's -x, its z axis points away
    from the person."""
    out = np.diag([-1.0, 1, -1, 1])
    out[:3, 3] = [SCREEN_M[0] / 2, -SCREEN_M[1] / 2, -DISTANCE_M]
    return out


def screen_seen_by(camera: CameraName) -> Screen:
    """The screen in the frame of a camera."""
    matrix = world_to_camera(camera) @ screen_to_world()
    rows = tuple(tuple(float(value) for value in row) for row in matrix)
    return Screen(size_px=SCREEN_PX, size_m=SCREEN_M, to_camera=rows)  # type: ignore[arg-type]


def target_m(point_px: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 3"]:
    """Points of the screen (px) in the world."""
    flat_m = np.asarray(point_px) * np.asarray(SCREEN_M) / np.asarray(SCREEN_PX)
    matrix = screen_to_world()
    return np.asarray(flat_m @ matrix[:3, :2].T + matrix[:3, 3])


@dataclass(frozen=True, eq=False)
class Window:
    """A square part of the virtual camera's picture plane."""

    intrinsics_px: Float[ndarray, "3 3"]
    size_px: int

    def grown(self, margin_px: int) -> "Window":
        """The window with a border on all sides."""
        moved = self.intrinsics_px.copy()
        moved[:2, 2] += margin_px
        return Window(moved, self.size_px + 2 * margin_px)


def window_at(
    center_m: Float[ndarray, "3"], width_m: float, size_px: int, off_px: tuple[float, float] = (0, 0)
) -> Window:
    """The window that shows a piece of `width_m` around a point, however far it is.

    Args:
        center_m: the point, in the virtual camera's frame.
        width_m: what the window is wide there.
        size_px: side of the window.
        off_px: how far the middle of the window misses the point.
    """
    focal_px = size_px / width_m * float(np.linalg.norm(center_m))
    x, y = focal_px * center_m[:2] / center_m[2]
    middle = size_px / 2
    matrix = np.array([[focal_px, 0, middle - x - off_px[0]], [0, focal_px, middle - y - off_px[1]], [0, 0, 1.0]])
    return Window(matrix, size_px)


def normalising_rotation(center_m: Float[ndarray, "3"], head_rotation: Float[ndarray, "3 3"]) -> Float[ndarray, "3 3"]:
    """R of Zhang et al. 2018: camera to the virtual camera that looks at `center_m` with the head's x axis level."""
    forward = center_m / np.linalg.norm(center_m)
    down = np.cross(forward, head_rotation[:, 0])
    down /= np.linalg.norm(down)
    return np.stack([np.cross(down, forward), down, forward])
