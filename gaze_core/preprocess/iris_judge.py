"""Gaze of normalised crops from their irises: judges redirected images without a trained gaze model.

Each image is processed on its own, with the average head and the image's own eye corners; the accuracy is in
docs/decisions/0004-video-labels.md. Predictions for one person share a bias of a few degrees, so compare predictions
with predictions.
"""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.assets import resolve
from gaze_core.geometry.normalization import NORMALIZATIONS
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.head_pose import average_head, estimate_pose, intrinsics_of
from gaze_core.preprocess.iris_gaze import camera_gaze, gaze_from_irises
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.person import fitted_head

_PORTRAIT = NORMALIZATIONS["portrait_128"]
PORTRAIT_FOCAL_FACTOR = _PORTRAIT.focal_px / _PORTRAIT.size_px
_MIN_SIDE_PX = 512  # smaller images are enlarged: the landmarker was made for camera images
_HEAD_SCALE = 0.92  # of the average face, at which the irises match the size of the iris landmarks


def predict_gaze(
    images: UInt8[ndarray, "n h w 3"],
    landmarker: Path | None = None,
    focal_factor: float = PORTRAIT_FOCAL_FACTOR,
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, " n"]]:
    """Predicts the gaze of normalised crops.

    Args:
        images: RGB.
        landmarker: the MediaPipe face landmarker (`.task`); found by `gaze_core.assets` if None.
        focal_factor: focal length over the side of the crops; the perspective matters little.

    Returns:
        `[pitch, yaw]` in radians, camera frame of each crop, zero where not valid; and whether a face with both eyes
        open was found.
    """
    landmarker = landmarker or resolve("face_landmarker")
    find, head = FaceLandmarker(landmarker), average_head(read_average_face(landmarker), _HEAD_SCALE)
    gaze, valid = np.zeros((len(images), 2)), np.zeros(len(images), bool)
    for i, image in enumerate(images):
        scale = max(1.0, _MIN_SIDE_PX / max(image.shape[:2]))
        large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else image
        intrinsics_px = intrinsics_of(large.shape[1::-1], focal_factor)
        for face in find.faces(large)[:1]:
            pose, _ = estimate_pose(face.points_px, head, intrinsics_px)
            own = fitted_head([face], [pose], head, intrinsics_px)
            pose, _ = estimate_pose(face.points_px, own, intrinsics_px)
            prediction = gaze_from_irises(face.points_px, face.expression, pose, own, intrinsics_px)
            if prediction.valid:
                gaze[i], valid[i] = camera_gaze(prediction.gaze_head, pose.rotation), True
    return gaze, valid
