"""Gaze from the landmarks of both eyes, by a linear map that was learned from rendered people.

The eyeball model alone (`iris_gaze.py`) reads pitch at a third of its size, because the landmark model's irises move too
little up and down. Lids move with vertical gaze, too, so this reader takes both. The map is learned by
`stages/judge/landmark_gaze.py` and ships as `weights/landmark_gaze.safetensors`; no picture of a real person was in its
training. docs/decisions/0004-video-labels.md has the reasons and the measured errors.

One map serves both eyes: the left one is read in a mirror.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from safetensors import SafetensorError, safe_open

from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.preprocess.face_mesh import CORNERS, IRISES, LIDS
from gaze_core.preprocess.head_pose import HeadModel, Pose, rays
from gaze_core.preprocess.iris_gaze import GazePrediction, angles_of, camera_gaze, gaze_from_irises
from gaze_core.preprocess.landmarks import Face
from gaze_core.preprocess.posed_face import PORTRAIT_FOCAL_FACTOR, PosedFace, read_each

NAME, VERSION = "landmark_gaze", 1
# Of one eye. x grows from the outer to the inner corner, y down, from the middle between the corners; unit: the eye's width.
_SINGLE = (
    "iris_x", "iris_y", "upper_lid_outer_y", "upper_lid_middle_y", "upper_lid_inner_y", "corners_tilt",
    "eyeball_pitch", "eyeball_yaw", "view_pitch", "view_yaw",
)  # fmt: skip
# The same lids look otherwise from below, and a turned eye is foreshortened.
_PRODUCTS = (
    ("iris_y", "view_pitch"), ("upper_lid_middle_y", "view_pitch"), ("eyeball_pitch", "view_pitch"),
    ("iris_x", "view_yaw"), ("iris_y", "view_yaw"), ("eyeball_yaw", "view_yaw"), ("iris_x", "iris_y"),
)  # fmt: skip
FEATURES = (*_SINGLE, *(f"{a} * {b}" for a, b in _PRODUCTS))
_UPPER_LID, _LOWER_LID_MIDDLE = (2, 4, 6), 12  # of LIDS: outer third, middle, inner third
DOUBTS = ("always", "eyes_differ_rad", "lids_close", "unlike_training")
_OPEN = 0.35  # lid distance over eye width of an open eye
_MIN_SLANT = 0.2  # a face that is seen at more than 78 degrees is read as if at 78
_MIRROR = np.array([[1.0, -1.0], [1.0, 1.0]])  # (left, right) x (pitch, yaw): from the mirrored eye and back


@dataclass(frozen=True, eq=False)
class LandmarkPrediction(GazePrediction):
    """Gaze of one frame, `[pitch, yaw]` in radians, with the angle by which it is expected to be off."""

    sigma_rad: float


@dataclass(frozen=True, eq=False)
class EyeFeatures:
    """What the map is given for one face."""

    values: Float[ndarray, "2 f"]  # `FEATURES` of (left, right), each as if it were the right eye
    openness: Float[ndarray, "2"]  # lid distance over eye width
    eyeballs: GazePrediction  # of the eyeball model


@dataclass(frozen=True, eq=False)
class LandmarkGaze:
    """The learned map: standardised features to `[pitch, yaw]` of one eye, and the weights of its doubts."""

    mean: Float[ndarray, " f"]
    scale: Float[ndarray, " f"]
    weights: Float[ndarray, "f 2"]
    offset: Float[ndarray, "2"]
    precision: Float[ndarray, "f f"]  # inverse covariance of the standardised features in training
    doubts: Float[ndarray, "4"]  # weights of `DOUBTS`; their sum is the expected error in radians
    limits: Float[ndarray, "4"]  # the largest doubts that training tells anything about
    digest: str

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The map in a file, by default the one that ships; read once.

        Raises:
            MissingArtifact: there is no such file, or it is not readable.
            ContractViolation: it is another version's, or of other features.
        """
        packaged = Path(str(resources.files("gaze_core.preprocess") / "weights" / f"{NAME}.safetensors"))
        tensors, digest = _read_weights(path or packaged)
        return cls(**tensors, digest=digest)

    def read(self, face: Face, pose: Pose, head: HeadModel, intrinsics_px: Float[ndarray, "3 3"]) -> LandmarkPrediction:
        """The gaze of both eyes in the head frame; as with the eyeball model, valid where both eyes are open and agree."""
        return self.predict(eye_features(face, pose, head, intrinsics_px))

    def predict(self, features: EyeFeatures) -> LandmarkPrediction:
        """`read`, from the features of a face."""
        standard = (features.values - self.mean) / self.scale
        eyes = (standard @ self.weights + self.offset) * _MIRROR
        doubts = np.minimum(doubts_of(eyes, features.openness, standard, self.precision), self.limits)
        sigma_rad = float(doubts @ self.doubts)
        return LandmarkPrediction(eyes, eyes.mean(axis=0), features.eyeballs.eyes_open, sigma_rad)


def eye_features(
    face: Face, pose: Pose, head: HeadModel, intrinsics_px: Float[ndarray, "3 3"]
) -> EyeFeatures:  # fmt: skip
    """The features of both eyes, on the plane through each eye's corners that is parallel to the face.

    So they depend neither on the place and size of the face in the image nor on its roll.
    """
    eyeballs = gaze_from_irises(face.points_px, face.expression, pose, head, intrinsics_px)
    camera_m = pose.to_head(np.zeros(3))
    directions = rays(face.points_px[:, :2].astype(np.float64), intrinsics_px) @ pose.rotation
    slant = np.maximum(directions[:, 2:], _MIN_SLANT * np.linalg.norm(directions, axis=1, keepdims=True))
    view = angles_of(camera_m)
    rows, openness = [], []
    for eye, (lids, corners, iris) in enumerate(zip(LIDS, CORNERS, IRISES, strict=True)):
        depth_m = head.points_m[list(corners), 2].mean() - camera_m[2]
        on_plane = (camera_m + directions * (depth_m / slant))[:, :2] * (_MIRROR[eye, 1], 1)
        local = _in_eye(on_plane, corners)
        upper = [local[lids[k], 1] for k in _UPPER_LID]
        outer, inner = on_plane[list(corners)]
        tilt = (inner - outer)[1] / np.linalg.norm(inner - outer)
        single = np.array([
            *local[iris], *upper, tilt, *(eyeballs.gaze_head_eyes * _MIRROR)[eye], *(view * _MIRROR[eye]),
        ])  # fmt: skip
        rows.append(
            np.concatenate([single, [single[_SINGLE.index(a)] * single[_SINGLE.index(b)] for a, b in _PRODUCTS]])
        )
        openness.append(local[lids[_LOWER_LID_MIDDLE], 1] - upper[1])
    return EyeFeatures(np.stack(rows), np.array(openness), eyeballs)


def _in_eye(points: Float[ndarray, "n 2"], corners: tuple[int, int]) -> Float[ndarray, "n 2"]:
    """Points along the line of the corners and down from it, over the eye's width."""
    outer, inner = points[list(corners)]
    width = np.linalg.norm(inner - outer)
    along = (inner - outer) / width
    return (points - (outer + inner) / 2) @ np.array([along, (-along[1], along[0])]).T / width


def doubts_of(
    eyes: Float[ndarray, "2 2"],
    openness: Float[ndarray, "2"],
    standard: Float[ndarray, "2 f"],
    precision: Float[ndarray, "f f"],
) -> Float[ndarray, "4"]:
    """`DOUBTS` of one face: how far both eyes differ, how far the lids are closed, how unlike training both eyes look."""
    unlike = np.sqrt(np.einsum("ef,fg,eg->e", standard, precision, standard).clip(0) / standard.shape[1])
    return np.array([1.0, np.linalg.norm(eyes[0] - eyes[1]), max(0.0, _OPEN - openness.min()), unlike.mean()])


def predict_gaze(
    images: UInt8[ndarray, "n h w 3"],
    landmarker: Path | None = None,
    focal_factor: float = PORTRAIT_FOCAL_FACTOR,
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, " n"]]:
    """`posed_face.read_each` with the learned map; valid where both eyes are open and agree."""
    return read_each(images, _read_posed, landmarker, focal_factor)


def _read_posed(posed: PosedFace) -> Float[ndarray, "2"] | None:
    prediction = LandmarkGaze.load().read(posed.face, posed.pose, posed.head, posed.intrinsics_px)
    return camera_gaze(prediction.gaze_head, posed.pose.rotation) if prediction.valid else None


@cache
def _read_weights(path: Path) -> tuple[dict[str, Float[ndarray, "..."]], str]:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        with safe_open(path, framework="numpy") as file:
            card = json.loads(file.metadata()["card"])
            tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise MissingArtifact(
            f"{path}: no readable weights of the landmark gaze ({error}); install gazeworks again"
        ) from error
    found = (card.get("stage"), card.get("stage_version"), tuple(card.get("features", ())))
    if found != (NAME, VERSION, FEATURES):
        raise ContractViolation(
            f"{path}: expected the weights of {NAME} v{VERSION} for {len(FEATURES)} features, found {found[0]} v{found[1]} "
            f"for {len(found[2])}; train it again: python -m gaze_core.stages.judge.landmark_gaze"
        )
    return tensors, digest
