"""Head pose by PnP with an average face in metres, and the face's points in the head frame.

Head frame as in `data/schema.py`. The iris, 11.7 mm wide in adults, sets the scale of the average face.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from gaze_core.geometry.landmarks import Eyes
from gaze_core.preprocess.face_mesh import CORNERS, IRISES, NUM_MESH, RIGID, AverageFace

IRIS_DIAMETER_M = 0.0117
EYEBALL_RADIUS_M = 0.012
# From the midpoint of an eye's corners to the eyeball centre, head frame. Outward and up, since the inner corner
# extends past the eyeball to the tear duct and is lower.
CORNERS_TO_CENTER_M = Eyes(left=np.array([0.001, -0.0018, 0.0065]), right=np.array([-0.001, -0.0018, 0.0065]))
_SCALES = (0.88, 1.12)  # of adult heads, relative to the average face


@dataclass(frozen=True, eq=False)
class Pose:
    """Head frame to camera frame: x_camera = rotation x_head + translation_m."""

    rotation: Float[ndarray, "3 3"]
    translation_m: Float[ndarray, "3"]

    def to_camera(self, points_head_m: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 3"]:
        """Points of the head frame in the camera's."""
        return points_head_m @ self.rotation.T + self.translation_m

    def to_head(self, points_camera_m: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 3"]:
        """Points of the camera frame in the head's."""
        return (points_camera_m - self.translation_m) @ self.rotation

    @property
    def matrix(self) -> Float[ndarray, "4 4"]:
        """The 4 x 4 matrix of the transform."""
        out = np.eye(4)
        out[:3, :3], out[:3, 3] = self.rotation, self.translation_m
        return out

    @property
    def facing_deg(self) -> tuple[float, float]:
        """`(pitch, yaw)` in degrees of the facing direction, camera frame, signs as for gaze."""
        x, y, z = -self.rotation[:, 2]
        return float(np.rad2deg(np.arctan2(-y, np.hypot(x, z)))), float(np.rad2deg(np.arctan2(-x, -z)))


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A subject's neutral face and eyeballs in the head frame, metres."""

    points_m: Float[ndarray, "468 3"]
    eye_centers_m: Float[ndarray, "2 3"]  # (left, right)


def average_head(face: AverageFace, scale: float = 1.0) -> HeadModel:
    """The average face moved into the head frame; only the eyeballs keep their size when it is scaled."""
    return head_with_eyes(face.points_m * scale)


def head_with_eyes(points_m: Float[ndarray, "468 3"]) -> HeadModel:
    """Puts eyeballs behind the lids of an upright face and moves the origin midway between them."""
    offsets = zip(CORNERS, CORNERS_TO_CENTER_M, strict=True)
    centers = np.stack([points_m[list(corners)].mean(axis=0) + offset for corners, offset in offsets])
    return HeadModel(points_m - centers.mean(axis=0), centers - centers.mean(axis=0))


def intrinsics_of(size_px: tuple[int, int], focal_factor: float) -> Float[ndarray, "3 3"]:
    """Intrinsics assumed for an image of (width, height): focal length a multiple of the longer side."""
    focal_px = focal_factor * max(size_px)
    return np.array([[focal_px, 0, size_px[0] / 2], [0, focal_px, size_px[1] / 2], [0, 0, 1.0]])


def estimate_pose(
    points_px: Float[ndarray, "478 3"], head: HeadModel, intrinsics_px: Float[ndarray, "3 3"]
) -> tuple[Pose, float]:
    """The pose whose rigid points project best, and their RMS distance as a fraction of the eyes' distance."""
    model, image = head.points_m[list(RIGID)], points_px[list(RIGID), :2].astype(np.float64)
    _, turn, shift = cv2.solvePnP(model, image, intrinsics_px, None, flags=cv2.SOLVEPNP_SQPNP)
    turn, shift = cv2.solvePnPRefineLM(model, image, intrinsics_px, None, turn, shift)
    projected, _ = cv2.projectPoints(model, turn, shift, intrinsics_px, None)
    rms_px = float(np.sqrt(((projected[:, 0] - image) ** 2).sum(axis=1).mean()))
    eyes_px = np.linalg.norm(points_px[CORNERS.left[0], :2] - points_px[CORNERS.right[0], :2])
    return Pose(cv2.Rodrigues(turn)[0], shift[:, 0]), rms_px / float(eyes_px)


def iris_scale(
    points_px: Float[ndarray, "478 3"], pose: Pose, head: HeadModel, intrinsics_px: Float[ndarray, "3 3"]
) -> float:
    """Scale factor of the head at which its irises are 11.7 mm wide."""
    diameters_px = []
    for center in IRISES:
        rim = points_px[center + 1 : center + 5, :2]  # right, upper, left, lower
        # A rotated iris appears narrower along one axis; its larger diameter is unchanged.
        diameters_px.append(max(np.linalg.norm(rim[0] - rim[2]), np.linalg.norm(rim[1] - rim[3])))
    depth_m = pose.to_camera(head.eye_centers_m)[:, 2].mean() - EYEBALL_RADIUS_M
    seen_m = float(np.mean(diameters_px)) * depth_m / intrinsics_px[0, 0]
    return float(IRIS_DIAMETER_M / seen_m)


def subject_scale(scales: Sequence[float]) -> float:
    """One scale for all frames of a person, clamped to the range of adult heads."""
    return float(np.clip(np.median(scales), *_SCALES))


def lift(
    points_px: Float[ndarray, "478 3"], pose: Pose, head: HeadModel, intrinsics_px: Float[ndarray, "3 3"]
) -> Float[ndarray, "468 3"]:
    """The face's points in this frame, with expression, in the head frame, metres.

    x and y come from the image, relative depth from the landmarker, its mean from the posed rigid points; so the
    points project exactly onto their landmarks.
    """
    depth_px = points_px[:NUM_MESH, 2].astype(np.float64)
    rigid_m = pose.to_camera(head.points_m[list(RIGID)])[:, 2].mean()
    depth_m = rigid_m + (depth_px - depth_px[list(RIGID)].mean()) * rigid_m / intrinsics_px[0, 0]
    return pose.to_head(rays(points_px[:NUM_MESH, :2], intrinsics_px) * depth_m[:, None])


def rays(points_px: Float[ndarray, "*n 2"], intrinsics_px: Float[ndarray, "3 3"]) -> Float[ndarray, "*n 3"]:
    """Viewing rays of pixels, camera frame, with z = 1."""
    xy = (points_px - intrinsics_px[:2, 2]) / np.diag(intrinsics_px)[:2]
    return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)


def smooth_poses(poses: Sequence[Pose], frame_index: Sequence[int], sigma_frames: float) -> list[Pose]:
    """Each pose averaged with its neighbours in time, Gaussian weights of `sigma_frames` up to three sigma away.

    `frame_index` increases; missing frames count as time. 0 leaves the poses as they are.
    """
    if sigma_frames == 0:
        return list(poses)
    index = np.asarray(frame_index)
    out = []
    for time in index:
        near = range(*np.searchsorted(index, [time - 3 * sigma_frames, time + 3 * sigma_frames + 1e-9]))
        weights = np.exp(-0.5 * ((index[list(near)] - time) / sigma_frames) ** 2)
        shift = np.average([poses[j].translation_m for j in near], axis=0, weights=weights)
        rotations = Rotation.from_matrix(np.stack([poses[j].rotation for j in near]))
        out.append(Pose(rotations.mean(weights).as_matrix(), shift))
    return out
