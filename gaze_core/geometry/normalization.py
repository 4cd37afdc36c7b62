"""Data normalisation (Zhang, Sugano, Bulling, ETRA 2018): each face seen by one virtual camera without roll.

The virtual camera looks at the face's centre, its x axis lies in the plane of the viewing direction and the head's x
axis, and it is scaled so that the face appears as from `distance_m`. Directions are rotated by R and never scaled (the
"modified" normalisation), so a gaze in the normalised camera's frame is R g. The scaling S = diag(1, 1, d_n / d) of the
paper acts on images like a longer focal length: the normalised crop is exactly the image of a pinhole camera
rotated by R, at the position of the real one, with focal length focal_px * d / distance_m. These intrinsics are stored,
so metric points project onto the crop without error.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.geometry.landmarks import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    MOUTH_LEFT,
    MOUTH_RIGHT,
    NOSE_TIP,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
)

FaceCenter = Literal[
    "eyes", "eyes_nose", "eyes_mouth", "six_points", "inner_corners", "left_eye", "right_eye", "bridge"
]

_NOSTRIL_RIGHT, _NOSTRIL_LEFT = 31, 35  # wings of the nose
_EYE_CORNERS = (RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER)
# A centre is the mean of the means of these groups of landmarks.
_CENTERS: dict[FaceCenter, tuple[tuple[int, ...], ...]] = {
    "eyes":          (_EYE_CORNERS,),
    "eyes_nose":     (_EYE_CORNERS, (_NOSTRIL_RIGHT, _NOSTRIL_LEFT)),
    "eyes_mouth":    (_EYE_CORNERS, (MOUTH_RIGHT, MOUTH_LEFT)),
    "six_points":    ((*_EYE_CORNERS, MOUTH_RIGHT, MOUTH_LEFT),),
    "inner_corners": ((RIGHT_EYE_INNER, LEFT_EYE_INNER),),
    "left_eye":      ((LEFT_EYE_INNER, LEFT_EYE_OUTER),),
    "right_eye":     ((RIGHT_EYE_OUTER, RIGHT_EYE_INNER),),
    "bridge":        (_EYE_CORNERS, (NOSE_TIP,)),
}  # fmt: skip


class NormalizationConfig(Config):
    """The virtual camera, and the point of the face that it looks at (see `face_center_m`)."""

    focal_px: PositiveFloat
    distance_m: PositiveFloat
    size_px: PositiveInt  # width, and height unless `height_px` is given
    face_center: FaceCenter
    height_px: PositiveInt | None = None

    @property
    def width_height_px(self) -> tuple[int, int]:
        """Size of the crop."""
        return self.size_px, self.height_px or self.size_px

    def resized(self, size_px: int) -> "NormalizationConfig":
        """The same view sampled at another width."""
        scale = size_px / self.size_px
        height_px = None if self.height_px is None else round(self.height_px * scale)
        return self.model_copy(
            update={"size_px": size_px, "height_px": height_px, "focal_px": self.focal_px * scale}
        )  # fmt: skip


# portrait_128 frames the whole head with its hair: 33 cm at the head's depth, as the synthetic subjects. The others are
# the published ones. GazeNeRF used 1400 px for MPIIFaceGaze and 1200 px for GazeCapture; STED looks at a point of its own
# face model 3 cm below the eyes, which is replaced here by the bridge of the nose.
NORMALIZATIONS = {
    "portrait_128":             NormalizationConfig(focal_px=264,  distance_m=0.68, size_px=128, face_center="eyes"),
    "eth_xgaze_224":            NormalizationConfig(focal_px=960,  distance_m=0.60, size_px=224, face_center="eyes_nose"),
    "eth_xgaze_448":            NormalizationConfig(focal_px=960,  distance_m=0.30, size_px=448, face_center="eyes_nose"),
    "eth_xgaze_left_eye":       NormalizationConfig(focal_px=1800, distance_m=0.60, size_px=128, face_center="left_eye"),
    "eth_xgaze_right_eye":      NormalizationConfig(focal_px=1800, distance_m=0.60, size_px=128, face_center="right_eye"),
    "mpii_gaze_left_eye":       NormalizationConfig(focal_px=960,  distance_m=0.60, size_px=60,  face_center="left_eye",
                                                    height_px=36),
    "mpii_gaze_right_eye":      NormalizationConfig(focal_px=960,  distance_m=0.60, size_px=60,  face_center="right_eye",
                                                    height_px=36),
    "mpii_face_gaze_224":       NormalizationConfig(focal_px=1600, distance_m=1.00, size_px=224, face_center="six_points"),
    "gazenerf_512":             NormalizationConfig(focal_px=1600, distance_m=0.68, size_px=512, face_center="eyes_mouth"),
    "gazenerf_mpii_512":        NormalizationConfig(focal_px=1400, distance_m=0.68, size_px=512, face_center="eyes_mouth"),
    "gazenerf_gaze_capture_512": NormalizationConfig(focal_px=1200, distance_m=0.68, size_px=512, face_center="eyes_mouth"),
    "faze":                     NormalizationConfig(focal_px=1300, distance_m=0.60, size_px=256, face_center="inner_corners",
                                                    height_px=64),
    "sted_128":                 NormalizationConfig(focal_px=500,  distance_m=0.60, size_px=128, face_center="bridge"),
}  # fmt: skip


def face_center_m(landmarks_m: Float[ndarray, "68 3"], definition: FaceCenter) -> Float[ndarray, "3"]:
    """The point that the virtual camera looks at, in the frame of the landmarks.

    `eyes`: mean of the four eye corners. `eyes_nose`: midway between that and the nostrils' wings (ETH-XGaze).
    `eyes_mouth`: midway between that and the mouth corners' mean. `six_points`: mean of all six, which lies higher.
    `inner_corners` (FAZE), `left_eye`, `right_eye`: of one eye's corners or both eyes' inner ones. The definition decides
    the labels: on one photograph `six_points` against `eyes_mouth` changed the head's pitch by 1.5 degrees.
    """
    return np.asarray(np.mean([landmarks_m[list(group)].mean(axis=0) for group in _CENTERS[definition]], axis=0))


@dataclass(frozen=True, eq=False)
class Normalization:
    """The transform from one image to its normalised crop."""

    rotation: Float[ndarray, "3 3"]  # R: real camera to virtual camera
    warp: Float[ndarray, "3 3"]  # homography: pixels of the image to pixels of the crop, centres at +0.5
    intrinsics_px: Float[ndarray, "3 3"]  # of the pinhole camera, rotated by R, whose image is the crop

    def points_px(self, points_px: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        """Points of the image in pixels of the crop."""
        return _apply(self.warp, points_px)

    def points_in_image_px(self, points_px: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        """Points of the crop in pixels of the image."""
        return _apply(np.linalg.inv(self.warp), points_px)

    def direction(self, direction: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 3"]:
        """A direction from the real camera's frame to the virtual camera's."""
        return direction @ self.rotation.T

    @property
    def world_to_camera(self) -> Float[ndarray, "4 4"]:
        """Extrinsics of the virtual camera, if the world is the real camera's frame."""
        out = np.eye(4)
        out[:3, :3] = self.rotation
        return out


def normalize(
    intrinsics_px: Float[ndarray, "3 3"],
    center_camera_m: Float[ndarray, "3"],
    head_rotation: Float[ndarray, "3 3"],
    config: NormalizationConfig,
) -> Normalization:
    """The normalisation of one undistorted image (Zhang et al. 2018, sec. 3).

    Args:
        intrinsics_px: pinhole intrinsics of the image.
        center_camera_m: the face's centre in the camera's frame.
        head_rotation: head frame to camera frame.
        config: the virtual camera.
    """
    distance_m = float(np.linalg.norm(center_camera_m))
    forward = center_camera_m / distance_m
    down = np.cross(forward, head_rotation[:, 0])
    down /= np.linalg.norm(down)
    rotation = np.stack([np.cross(down, forward), down, forward])
    focal_px, (width_px, height_px) = config.focal_px * distance_m / config.distance_m, config.width_height_px
    intrinsics = np.array([[focal_px, 0, width_px / 2], [0, focal_px, height_px / 2], [0, 0, 1.0]])
    return Normalization(rotation, intrinsics @ rotation @ np.linalg.inv(intrinsics_px), intrinsics)


def _apply(homography: Float[ndarray, "3 3"], points: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
    lifted = points @ homography[:, :2].T + homography[:, 2]
    return np.asarray(lifted[:, :2] / lifted[:, 2:])
