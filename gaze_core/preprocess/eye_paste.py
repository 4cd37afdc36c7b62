"""Eyes of a picture that look elsewhere; the rest of the picture stays as it is.

Gaze angles are `[pitch, yaw]` in the frame of the picture's camera turned toward the face, without roll: (0, 0) looks into
the lens wherever the face is, pitch > 0 up, yaw > 0 to the left of the picture (docs/conventions.md).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from pydantic import Field

from gaze_core.config import Config
from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.geometry.landmarks import Eyes
from gaze_core.geometry.normalization import NORMALIZATIONS, Normalization, normalize
from gaze_core.preprocess.eye_geometry import Eye
from gaze_core.preprocess.eye_warp import turn_eye
from gaze_core.preprocess.face_mesh import IRISES, LIDS
from gaze_core.preprocess.iris_gaze import IRIS_DEPTH_M, MAX_GAZE_RAD, MIN_OPENNESS, angles_of, gaze_from_irises
from gaze_core.preprocess.labels import warp
from gaze_core.preprocess.posed_face import PosedFace

READER_PX = 512
_FULLY_OPEN = MIN_OPENNESS + 0.07
EyeName = Literal["left", "right"]
_NAMES: tuple[EyeName, EyeName] = ("left", "right")


class EyeLimits(Config):
    """How far eyes are turned from straight ahead of the head, degrees. A wish beyond it is drawn at the limit."""

    max_up_deg: float = Field(20, gt=0, le=40)
    max_down_deg: float = Field(30, gt=0, le=40)
    max_yaw_deg: float = Field(25, gt=0, le=40)

    @property
    def range_rad(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The least and the most `[pitch, yaw]` in the head frame."""
        up, down, yaw = np.deg2rad([self.max_up_deg, self.max_down_deg, self.max_yaw_deg]).tolist()
        return (-down, -yaw), (up, yaw)

    def clamped(self, gaze_head: Float[ndarray, "2"]) -> Float[ndarray, "2"]:
        """`[pitch, yaw]` in radians, head frame, within the limits."""
        return np.asarray(np.clip(gaze_head, *self.range_rad))


@dataclass(frozen=True, eq=False)
class Pasted:
    """A picture whose eyes were turned."""

    image: UInt8[ndarray, "h w 3"]
    changed: Bool[ndarray, "h w"]  # outside of it, every pixel is the picture's own
    drawn: Float[ndarray, "2"]  # radians: what the eyes were turned to, the wish or the limit in its direction
    left_alone: dict[str, str] = field(default_factory=dict)  # reason by eye


def paste_eyes(
    posed: PosedFace, gaze: Float[ndarray, "2"], limits: EyeLimits, fade_blinks: bool = False
) -> Pasted:  # fmt: skip
    """The picture with both eyes looking along `gaze` (module docstring, radians). Closed eyes are left alone.

    Args:
        posed: the picture with its face; it must not have been enlarged.
        gaze: where to look.
        limits: the range of the eyes in the head.
        fade_blinks: turn an eye that is closing less and less, so that a video does not jump.
    """
    view = frontal_view(posed)
    to_head = posed.pose.rotation.T @ view.rotation.T
    wanted_head = angles_of(to_head @ _vector(gaze))
    drawn_head = limits.clamped(wanted_head)
    now = gaze_from_irises(
        posed.face.points_px, posed.face.expression, posed.pose, posed.head, posed.intrinsics_px
    )  # fmt: skip
    change = drawn_head - now.gaze_head  # each eye keeps its own difference from the mean
    image, changed = posed.image.astype(np.float32) / 255, np.zeros(posed.image.shape[:2], bool)
    left_alone: dict[str, str] = {}
    for index, name in enumerate(_NAMES):
        eye = eye_of(posed, index, now.gaze_head_eyes[index])
        if reason := _not_usable(now.eyes_open[index], eye, posed.image.shape[:2]):
            left_alone[name] = reason
            continue
        share = float(np.clip((eye.openness - MIN_OPENNESS) / (_FULLY_OPEN - MIN_OPENNESS), 0, 1)) if fade_blinks else 1
        image, touched = turn_eye(image, eye, eye.gaze_head + share * change)
        changed |= touched
    result = posed.image.copy()
    result[changed] = (image[changed] * 255).round().astype(np.uint8)
    drawn = gaze if np.array_equal(drawn_head, wanted_head) else angles_of(to_head.T @ _vector(drawn_head))
    return Pasted(result, changed, np.asarray(drawn), left_alone)


def eye_of(posed: PosedFace, index: int, gaze_head: Float[ndarray, "2"]) -> Eye:
    """The (left, right) eye of a posed face."""
    center_m = posed.pose.to_camera(posed.head.eye_centers_m)[index]
    first = Eyes(*IRISES)[index] + 1
    rim = posed.face.points_px[first : first + 4, :2]
    diameter_px = max(np.linalg.norm(rim[0] - rim[2]), np.linalg.norm(rim[1] - rim[3]))
    radius_m = diameter_px / 2 * (center_m[2] - IRIS_DEPTH_M) / posed.intrinsics_px[0, 0]
    lids_px = posed.face.points_px[list(LIDS[index]), :2].astype(np.float64)
    return Eye(lids_px, center_m, float(radius_m), posed.pose.rotation, posed.intrinsics_px, gaze_head)


def frontal_view(posed: PosedFace) -> Normalization:
    """The picture's camera turned toward the face, without roll; its crop shows the head at `READER_PX`."""
    center_m = posed.pose.to_camera(posed.head.eye_centers_m).mean(axis=0)
    return normalize(
        posed.intrinsics_px, center_m, np.eye(3), NORMALIZATIONS["portrait_128"].resized(READER_PX)
    )  # fmt: skip


def frontal_crop(image: UInt8[ndarray, "h w 3"], posed: PosedFace) -> UInt8[ndarray, "512 512 3"]:
    """What readers of gaze get to see of a picture: their angles are then in the frame of the module docstring."""
    return np.asarray(warp(image, frontal_view(posed), (READER_PX, READER_PX)))


def _not_usable(is_open: bool, eye: Eye, size_px: tuple[int, int]) -> str:
    """Why an eye is left alone; empty if it is not."""
    if not is_open:
        return "closed"
    if np.abs(eye.gaze_head).max() > MAX_GAZE_RAD:
        return "its iris was not found"
    inside = (eye.lids_px >= 0).all() and (eye.lids_px <= size_px[::-1]).all()
    return "" if inside else "outside the picture"


def _vector(pitchyaw: Float[ndarray, "2"]) -> Float[ndarray, "3"]:
    return np.asarray(vector_from_pitchyaw(torch.as_tensor(np.asarray(pitchyaw, dtype=np.float64))).numpy())
