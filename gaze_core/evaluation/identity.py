"""Identity distance between images, by dlib's face descriptor, which took no part in training."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.errors import MissingArtifact
from gaze_core.geometry.landmarks import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
)

_NOSE_BASE = 33
_MAX_KNOWN = 4096
_ALIGNED_BY = (LEFT_EYE_OUTER, LEFT_EYE_INNER, RIGHT_EYE_OUTER, RIGHT_EYE_INNER, _NOSE_BASE)
"""The five landmarks of dlib's face alignment, in its order."""


class FaceDescriptor:
    """dlib's ResNet (King 2017): 128 numbers for each face, trained so that one person's differ by less than 0.6."""

    def __init__(self, path: Path) -> None:
        try:
            import dlib
        except ImportError as error:
            raise MissingArtifact("the package dlib-bin is not installed; pip install dlib-bin") from error
        self._dlib, self._model = dlib, dlib.face_recognition_model_v1(str(path))
        self._known: dict[bytes, list[float]] = {}  # each recorded face is compared with several renderings

    def distance(
        self,
        image: Float[Tensor, "b 3 h w"],
        target: Float[Tensor, "b 3 h w"],
        landmarks_px: Float[Tensor, "b 68 2"],
    ) -> Float[Tensor, " b"]:
        """Length of the difference of both descriptors, 0 for equal images. Lower is better.

        Both images are cropped by the target's landmarks, so a displaced face counts as different.
        """
        ours, theirs = (self._describe(images, landmarks_px) for images in (image, target))
        return (ours - theirs).norm(dim=1).to(image)

    def _describe(self, rgb: Float[Tensor, "b 3 h w"], landmarks_px: Float[Tensor, "b 68 2"]) -> Float[Tensor, "b 128"]:
        images = (rgb.permute(0, 2, 3, 1).nan_to_num(1.0).clamp(0, 1) * 255).round().byte().cpu().numpy()
        points = landmarks_px[:, list(_ALIGNED_BY)].cpu().double().numpy()
        faces = [self._chip(*pair) for pair in zip(images, points, strict=True)]
        return torch.tensor([self._numbers(face) for face in faces], dtype=torch.float64)

    def _numbers(self, face: np.ndarray) -> list[float]:
        key = hashlib.sha256(face.tobytes()).digest()
        if key not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = list(self._model.compute_face_descriptor(face))
        return self._known[key]

    def _chip(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The face in a square of 150 px, placed as the network was trained."""
        height, width = image.shape[:2]
        places = [self._dlib.point(int(x), int(y)) for x, y in np.floor(points)]
        frame = self._dlib.full_object_detection(self._dlib.rectangle(0, 0, width - 1, height - 1), places)
        return np.asarray(self._dlib.get_face_chip(np.ascontiguousarray(image), frame))
