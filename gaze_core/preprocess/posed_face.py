"""Single images of faces with landmarks and a fitted head: what readers of gaze start from.

Each image is read on its own, with the average head and the image's own eye corners; what that costs is in
docs/decisions/0004-video-labels.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.assets import resolve
from gaze_core.geometry.normalization import NORMALIZATIONS
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.head_pose import HeadModel, Pose, average_head, estimate_pose, intrinsics_of
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.person import fitted_head

_PORTRAIT = NORMALIZATIONS["portrait_128"]
PORTRAIT_FOCAL_FACTOR = _PORTRAIT.focal_px / _PORTRAIT.size_px
_MIN_SIDE_PX = 512  # smaller images are enlarged: the landmarker was made for camera images
_HEAD_SCALE = 0.92  # of the average face, at which irises are as wide as landmarks make them


@dataclass(frozen=True, eq=False)
class PosedFace:
    """The largest face of an image, which may be enlarged, and the head that was fitted to it."""

    image: UInt8[ndarray, "h w 3"]
    face: Face
    pose: Pose
    head: HeadModel
    intrinsics_px: Float[ndarray, "3 3"]


ReadFace = Callable[[PosedFace], "Float[ndarray, '2'] | None"]
"""`[pitch, yaw]` in radians, camera frame; None where this face cannot be read."""


def read_each(
    images: UInt8[ndarray, "n h w 3"],
    read: ReadFace,
    landmarker: Path | None = None,
    focal_factor: float = PORTRAIT_FOCAL_FACTOR,
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, " n"]]:
    """Reads the gaze of images of one face each.

    Args:
        images: RGB.
        read: what reads a face.
        landmarker: the MediaPipe face landmarker (`.task`); found by `gaze_core.assets` if None.
        focal_factor: focal length over the longer side of the images; the perspective matters little.

    Returns:
        `[pitch, yaw]` in radians, camera frame of each image, zero where not valid; and whether a face was found and read.
    """
    landmarker = landmarker or resolve("face_landmarker")
    find, head = FaceLandmarker(landmarker), head_of_images(landmarker)
    gaze, valid = np.zeros((len(images), 2)), np.zeros(len(images), bool)
    for i, image in enumerate(images):
        posed = find_posed(image, find, head, focal_factor)
        if posed is not None and (found := read(posed)) is not None:
            gaze[i], valid[i] = found, True
    return gaze, valid


def head_of_images(landmarker: Path) -> HeadModel:
    """The average head from which the head of each single image is fitted."""
    return average_head(read_average_face(landmarker), _HEAD_SCALE)


def find_posed(
    image: UInt8[ndarray, "h w 3"], find: FaceLandmarker, head: HeadModel, focal_factor: float
) -> PosedFace | None:
    """The largest face of an image with its pose; None if none is found. `head` is that of `head_of_images`."""
    large = enlarged(image)
    intrinsics_px = intrinsics_of(large.shape[1::-1], focal_factor)
    for face in find.faces(large)[:1]:
        return pose_face(large, face, head, intrinsics_px)
    return None


def enlarged(image: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "y x 3"]:
    """The image at a size that the landmarker was made for; a large one as it is."""
    scale = _MIN_SIDE_PX / max(image.shape[:2])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else image


def pose_face(
    image: UInt8[ndarray, "h w 3"], face: Face, head: HeadModel, intrinsics_px: Float[ndarray, "3 3"]
) -> PosedFace:
    """Fits the average head to a face: pose, then the image's own eye corners, then the pose again."""
    pose, _ = estimate_pose(face.points_px, head, intrinsics_px)
    own = fitted_head([face], [pose], head, intrinsics_px)
    pose, _ = estimate_pose(face.points_px, own, intrinsics_px)
    return PosedFace(image, face, pose, own, intrinsics_px)
