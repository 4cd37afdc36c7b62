"""Gaze from an eyeball model: the direction from an eyeball's centre to its iris's centre."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.data.schema import ARKIT
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.landmarks import Eyes
from gaze_core.preprocess.face_mesh import CORNERS, IRISES, LID_MIDDLES
from gaze_core.preprocess.head_pose import EYEBALL_RADIUS_M, IRIS_DIAMETER_M, HeadModel, Pose, rays

# Distance of the plane of the iris's rim from the centre of an eyeball of that radius.
IRIS_DEPTH_M = float(np.sqrt(EYEBALL_RADIUS_M**2 - (IRIS_DIAMETER_M / 2) ** 2))
MIN_OPENNESS = 0.18  # lid distance over eye width below which the iris counts as hidden
MAX_GAZE_RAD = 0.87  # more than eyes can rotate: the iris was mislocated
MAX_DISAGREEMENT_RAD = 0.35  # between the predictions of the two eyes
_MAX_BLINK = 0.5


@dataclass(frozen=True, eq=False)
class GazePrediction:
    """Gaze of one frame, `[pitch, yaw]` in radians."""

    gaze_head_eyes: Float[ndarray, "2 2"]  # (left, right)
    gaze_head: Float[ndarray, "2"]  # mean of both eyes
    eyes_open: tuple[bool, bool]  # (left, right)

    @property
    def valid(self) -> bool:
        """Whether both eyes are open, within the range of eye rotation, and agree."""
        left, right = self.gaze_head_eyes
        possible = np.abs(self.gaze_head_eyes).max() < MAX_GAZE_RAD
        return all(self.eyes_open) and bool(possible and np.abs(left - right).max() < MAX_DISAGREEMENT_RAD)


def gaze_from_irises(
    points_px: Float[ndarray, "478 3"],
    expression: Float[ndarray, "64"],
    pose: Pose,
    head: HeadModel,
    intrinsics_px: Float[ndarray, "3 3"],
) -> GazePrediction:
    """Intersects each iris's viewing ray with the sphere on which irises move (`IRIS_DEPTH_M` about the centre)."""
    centers_camera_m = pose.to_camera(head.eye_centers_m)
    irises = rays(points_px[list(IRISES), :2].astype(np.float64), intrinsics_px)
    toward_iris = np.stack([_on_sphere(ray, center) for ray, center in zip(irises, centers_camera_m, strict=True)])
    eyes = angles_of(toward_iris @ pose.rotation)
    return GazePrediction(eyes, eyes.mean(axis=0), eyes_open(points_px, expression))


def eyes_open(points_px: Float[ndarray, "478 3"], expression: Float[ndarray, "64"]) -> tuple[bool, bool]:
    """Whether each eye (left, right) shows enough of its iris."""
    blinks = Eyes(*(expression[ARKIT.index(name)] for name in ("eyeBlinkLeft", "eyeBlinkRight")))
    openness = Eyes(*(_openness(points_px, lids, corners) for lids, corners in zip(LID_MIDDLES, CORNERS, strict=True)))
    left, right = (o > MIN_OPENNESS and b < _MAX_BLINK for o, b in zip(openness, blinks, strict=True))
    return bool(left), bool(right)


def camera_gaze(gaze_head: Float[ndarray, "2"], head_to_camera: Float[ndarray, "3 3"]) -> Float[ndarray, "2"]:
    """A gaze from the head frame to a camera's frame."""
    vector = vector_from_pitchyaw(torch.as_tensor(gaze_head, dtype=torch.float64)).numpy()
    return angles_of(head_to_camera @ vector)


def angles_of(vectors: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
    """`pitchyaw_from_vector` for arrays."""
    return np.asarray(pitchyaw_from_vector(torch.as_tensor(vectors)).numpy())


def _openness(points_px: Float[ndarray, "478 3"], lids: tuple[int, int], corners: tuple[int, int]) -> float:
    upper, lower, outer, inner = points_px[[*lids, *corners], :2]
    return float(np.linalg.norm(upper - lower) / np.linalg.norm(outer - inner))


def _on_sphere(ray: Float[ndarray, "3"], center_m: Float[ndarray, "3"]) -> Float[ndarray, "3"]:
    """Vector from the centre to the point where the ray enters the sphere; if it misses, to the ray's nearest point."""
    ray = ray / np.linalg.norm(ray)
    along = float(ray @ center_m)
    missed = center_m @ center_m - along**2
    inside = max(IRIS_DEPTH_M**2 - missed, 0.0)
    return np.asarray((along - np.sqrt(inside)) * ray - center_m)
