"""Fields of the subject file from one image with its landmarks and head pose."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.data.schema import NUM_IDENTITY
from gaze_core.geometry.normalization import Normalization, NormalizationConfig, face_center_m, normalize
from gaze_core.preprocess.face_mesh import IBUG_68
from gaze_core.preprocess.head_pose import HeadModel, Pose, lift
from gaze_core.preprocess.iris_gaze import camera_gaze
from gaze_core.preprocess.landmark_gaze import LandmarkGaze
from gaze_core.preprocess.landmarks import Face
from gaze_core.preprocess.masks import eye_masks

_CAMERA = np.zeros(3)


def label_frame(
    image: UInt8[ndarray, "h w 3"],
    face: Face,
    pose: Pose,
    head: HeadModel,
    intrinsics_px: Float[ndarray, "3 3"],
    config: NormalizationConfig,
    head_mask: UInt8[ndarray, "h w"],
    origin_m: Float[ndarray, "3"] = _CAMERA,
) -> dict[str, Any]:
    """All fields of one frame, `gaze_sigma_rad` among them, except `frame_index`. The world has the axes of the camera.

    `image` and `head_mask` (0 or 255) cover the full image; `origin_m` is the world's origin in the camera's frame.
    """
    in_world = Pose(pose.rotation, pose.translation_m - origin_m)
    center = pose.to_camera(face_center_m(head.points_m[list(IBUG_68)], config.face_center))
    view = normalize(intrinsics_px, center, pose.rotation, config)
    crop = warp(image, view, config.width_height_px)
    points_px = view.points_px(face.points_px[:, :2].astype(np.float64))
    head_crop = warp(head_mask, view, config.width_height_px)
    observed = warp(np.full(image.shape[:2], 255, dtype=np.uint8), view, config.width_height_px)
    left, right = eye_masks(crop.shape[:2], points_px)
    prediction = LandmarkGaze.load().read(face, pose, head, intrinsics_px)
    return {
        "image": crop,
        "head_mask": np.where(head_crop > 127, 255, 0),
        "observed_mask": np.where(observed > 250, 255, 0),
        "left_eye_mask": left,
        "right_eye_mask": right,
        "landmarks_2d_px": points_px[list(IBUG_68)],
        "landmarks_3d_head_m": lift(face.points_px, pose, head, intrinsics_px)[list(IBUG_68)],
        "eye_centers_head_m": head.eye_centers_m,
        "intrinsics_px": view.intrinsics_px,
        "world_to_camera": view.world_to_camera @ _shift(origin_m),
        "head_to_world": in_world.matrix,
        "gaze_camera": camera_gaze(prediction.gaze_head, view.rotation @ pose.rotation),
        "gaze_head": prediction.gaze_head,
        "gaze_head_eyes": prediction.gaze_head_eyes,
        "gaze_sigma_rad": prediction.sigma_rad,
        "identity_code": np.zeros(NUM_IDENTITY),
        "expression_code": face.expression,
        "valid/gaze": prediction.valid,
        "valid/head_pose": True,
        "valid/landmarks_3d": True,
        "valid/identity": False,
        "valid/expression": True,
        "valid/left_eye": prediction.eyes_open[0] and bool(left.any()),
        "valid/right_eye": prediction.eyes_open[1] and bool(right.any()),
        "camera_index": 0,
    }


def _shift(by_m: Float[ndarray, "3"]) -> Float[ndarray, "4 4"]:
    out = np.eye(4)
    out[:3, 3] = by_m
    return out


def warp(image: UInt8[ndarray, "h w *c"], view: Normalization, size_px: tuple[int, int]) -> UInt8[ndarray, "y x *c"]:
    """The normalised crop of (width, height), 0 beyond the image's border; a finer image is downscaled first."""
    middle = np.array([size_px]) / 2
    step = np.linalg.norm(view.points_in_image_px(middle + [[1, 0]]) - view.points_in_image_px(middle))
    shrink = min(1.0, 1 / float(step))
    if shrink < 0.75:
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    else:
        shrink = 1.0
    homography = _opencv(view.warp @ np.diag([1 / shrink, 1 / shrink, 1.0]))
    return cv2.warpPerspective(image, homography, size_px, flags=cv2.INTER_LINEAR)


def _opencv(homography: Float[ndarray, "3 3"]) -> Float[ndarray, "3 3"]:
    """The same map in OpenCV's convention, where pixel centres are integers."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.asarray(np.linalg.inv(half) @ homography @ half)
