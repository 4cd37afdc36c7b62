"""Gaze and head pose of every face in pictures that come one after another. Nothing of a picture is kept.

A face in a photograph is read on its own, with the average head and its own eye corners (`posed_face.py`). In a video the
head of a person is estimated from several images (`PersonFit`), as for the labels of recordings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.geometry.rotations import eye_rotation
from gaze_core.preprocess.camera_model import Camera
from gaze_core.preprocess.face_mesh import AverageFace
from gaze_core.preprocess.face_search import extent_px, find_faces
from gaze_core.preprocess.face_tracking import FaceTracker
from gaze_core.preprocess.gaze_estimators import Estimate, EstimatorName, EyeGaze, estimator
from gaze_core.preprocess.head_pose import HeadModel, Pose, estimate_pose
from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.landmark_gaze import eye_features
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.person import fit_person
from gaze_core.preprocess.posed_face import PosedFace, enlarged, head_of_images, pose_face

MIN_FACE_PX = 24  # the face's larger side, in the picture; at 25 px gaze was 10 degrees off
_MAX_MISFIT = 0.12  # RMS of the rigid landmarks over the eyes' distance; what is worse is hardly a face
_FIT_EVERY, _MAX_FIT_FACES = 5, 64  # images; faces


@dataclass(frozen=True, eq=False)
class FaceReading:
    """What is read of one face. Points in px of the picture; the camera's frame is that of docs/conventions.md."""

    face: int  # its number
    points_px: Float[ndarray, "478 2"]
    pose: Pose
    gaze: EyeGaze
    openness: Float[ndarray, "2"]  # (left, right): lid distance over eye width

    @property
    def head_angles_rad(self) -> tuple[float, float, float]:
        """Pitch and yaw of the direction the head faces, signs as for gaze, and roll: > 0 is clockwise in the picture."""
        facing_deg = self.pose.facing_deg
        facing = eye_rotation(torch.tensor(np.deg2rad(facing_deg))).numpy()
        upright = facing.T @ self.pose.rotation
        pitch, yaw = np.deg2rad(facing_deg)
        return float(pitch), float(yaw), float(np.arctan2(upright[1, 0], upright[0, 0]))


class PersonFit:
    """The head of one person, better the more images of the face have been given; at most 64 are kept."""

    def __init__(self, average: AverageFace, intrinsics_px: Float[ndarray, "3 3"]) -> None:
        self._average, self._intrinsics_px = average, intrinsics_px
        self._faces: list[Face] = []
        self._seen = 0
        self._head: HeadModel | None = None

    def add(self, face: Face) -> None:
        """One more image: of the first eight each counts, then every fifth."""
        self._seen += 1
        count = len(self._faces)
        if count < _MAX_FIT_FACES and (count < 8 or self._seen % _FIT_EVERY == 0):
            self._faces.append(face)
            if len(self._faces).bit_count() == 1:  # 1, 2, 4, ..., 64 faces
                self._head = None

    @property
    def head(self) -> HeadModel:
        """The head by what was seen when there were 1, 2, 4, ..., 64 faces."""
        if self._head is None:
            self._head = fit_person(self._faces, self._average, self._intrinsics_px).head
        return self._head


class GazeReader:
    """Reads pictures of one camera: photographs each on its own, images of a video with `next`.

    Args:
        estimate: the estimator, or its name.
        landmarker: the MediaPipe face landmarker (`.task`).
        workers: 2 reads a face and its mirror image at the same time; the results are the same.

    Raises:
        MissingArtifact: the estimator's package or a file is not available.
    """

    def __init__(self, estimate: EstimatorName | Estimate, landmarker: Path, workers: int = 1) -> None:
        self._estimate = estimator(estimate) if isinstance(estimate, str) else estimate
        self._landmarker = FaceLandmarker(landmarker, workers)
        self._head = head_of_images(landmarker)
        self._tracker = FaceTracker(self._landmarker)
        self._fits: dict[int, PersonFit] = {}
        self._person: HeadModel | None = None

    def learn_person(self, images: Iterable[RgbImage], camera: Camera) -> bool:
        """Takes the head of the only person in these images for all that is read by `next`.

        False, and nothing is taken, if no image shows a face or one shows several.
        """
        faces: list[Face] = []
        near = camera
        for image in images:
            large, scale = _enlarged(image)
            near, found = camera.scaled(scale), self._landmarker.faces(large)
            if len(found) > 1:
                return False
            faces += [_ideal(face, near) for face in found]
        if not faces:
            return False
        self._person = fit_person(faces, self._landmarker.average, near.intrinsics_px).head
        return True

    def photograph(self, image: RgbImage, camera: Camera) -> list[FaceReading]:
        """All faces of a picture on its own, the largest first; small ones are searched for if there is no other."""
        large, scale = _enlarged(image)
        near = camera.scaled(scale)
        found = find_faces(large, self._landmarker)
        heads = [
            self._person or pose_face(large, _ideal(face, near), self._head, near.intrinsics_px).head for face in found
        ]
        return self._readings(large, dict(enumerate(found)), dict(enumerate(heads)), near, scale)

    def next(self, image: RgbImage, camera: Camera) -> list[FaceReading]:
        """All faces of the next image of a video, in the order of their numbers."""
        large, scale = _enlarged(image)
        near = camera.scaled(scale)
        found = self._tracker.update(large)
        self._fits = {number: fit for number, fit in self._fits.items() if number in found}
        heads: dict[int, HeadModel] = {}
        for number, face in found.items():
            if self._person is None:
                fit = self._fits.setdefault(number, PersonFit(self._landmarker.average, near.intrinsics_px))
                fit.add(_ideal(face, near))
            heads[number] = self._person or self._fits[number].head
        return self._readings(large, found, heads, near, scale)

    def _readings(
        self, image: RgbImage, faces: Mapping[int, Face], heads: Mapping[int, HeadModel], camera: Camera, scale: float
    ) -> list[FaceReading]:
        return [self._reading(image, number, face, heads[number], camera, scale) for number, face in faces.items()]

    def _reading(
        self, image: RgbImage, number: int, face: Face, head: HeadModel, camera: Camera, scale: float
    ) -> FaceReading:
        ideal, K = _ideal(face, camera), camera.intrinsics_px
        pose, misfit = estimate_pose(ideal.points_px, head, K)
        features = eye_features(ideal, pose, head, K)
        if extent_px(face) / scale < MIN_FACE_PX:
            gaze = EyeGaze(why_none="face_too_small")
        elif misfit > _MAX_MISFIT:
            gaze = EyeGaze(why_none="head_pose_not_fit")
        else:
            gaze = self._estimate(PosedFace(image, face, pose, head, K), features)
        return FaceReading(number, face.points_px[:, :2] / scale, pose, gaze, features.openness)


def _enlarged(image: RgbImage) -> tuple[RgbImage, float]:
    large = enlarged(image)
    return large, large.shape[1] / image.shape[1]


def _ideal(face: Face, camera: Camera) -> Face:
    """The face as a lens without distortion would show it."""
    if camera.distortion is None:
        return face
    points = face.points_px.copy()
    points[:, :2] = camera.undistorted(points[:, :2])
    return replace(face, points_px=points)
