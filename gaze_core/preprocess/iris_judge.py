"""The iris model on single normalised crops: what it reads of a picture that a model has drawn."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.geometry.normalization import NORMALIZATIONS
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.head_pose import average_head, estimate_pose, intrinsics_of
from gaze_core.preprocess.iris_gaze import camera_gaze, read_eyes
from gaze_core.preprocess.landmarks import FaceLandmarker

_READ_AT_PX = 384  # the landmarker expects faces of about 200 px


def read_gaze(
    images_rgb: UInt8[ndarray, "n h w 3"], landmarker: Path
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, " n"]]:
    """Gaze `[pitch, yaw]` in radians, camera frame, of crops framed as `portrait_128`, and whether it could be read.

    The head is the average one, since a single picture does not tell its shape.
    """
    network, head = FaceLandmarker(landmarker), average_head(read_average_face(landmarker))
    focal_px = NORMALIZATIONS["portrait_128"].resized(_READ_AT_PX).focal_px
    intrinsics_px = intrinsics_of((_READ_AT_PX, _READ_AT_PX), focal_px / _READ_AT_PX)
    gaze, valid = np.zeros((len(images_rgb), 2)), np.zeros(len(images_rgb), dtype=bool)
    for index, image in enumerate(images_rgb):
        faces = network.faces(cv2.resize(image, (_READ_AT_PX, _READ_AT_PX), interpolation=cv2.INTER_CUBIC))
        if not faces:
            continue
        pose, _ = estimate_pose(faces[0].points_px, head, intrinsics_px)
        reading = read_eyes(faces[0].points_px, faces[0].expression, pose, head, intrinsics_px)
        valid[index] = reading.valid
        if reading.valid:
            gaze[index] = camera_gaze(reading.gaze_head, pose.rotation)
    return gaze, valid
