"""Faces of a photograph, also those that are small in it.

The landmarker looks for faces in the whole picture at 128 px, where a face below a tenth of the picture is lost. Where it
finds none, overlapping parts of the picture are searched.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.landmarks import Face, FaceLandmarker

_PARTS = (2, 3)  # parts along the longer side, tried in order
_MIN_PART_PX = 256


def find_faces(image: RgbImage, landmarker: FaceLandmarker) -> list[Face]:
    """The faces of a picture, the largest first; points in pixels of the picture."""
    faces = landmarker.faces(image)
    height, width = image.shape[:2]
    for parts in _PARTS:
        side = round(max(height, width) / parts)
        if faces or side < _MIN_PART_PX:
            break
        for top in _starts(height, side):
            for left in _starts(width, side):
                part = np.ascontiguousarray(image[top : top + side, left : left + side])
                faces += [_moved(face, (left, top)) for face in landmarker.faces(part)]
    return _distinct(faces)


def extent_px(face: Face) -> float:
    """The longer side of the landmarks' box."""
    return float(np.ptp(face.points_px[:, :2], axis=0).max())


def _starts(length: int, side: int) -> list[int]:
    """First pixels of parts that overlap by half."""
    last = max(length - side, 0)
    return [round(at) for at in np.linspace(0, last, 1 + int(np.ceil(2 * last / side)))]


def _moved(face: Face, by_px: tuple[int, int]) -> Face:
    return replace(face, points_px=(face.points_px + np.array([*by_px, 0])).astype(np.float32))


def _distinct(faces: list[Face]) -> list[Face]:
    """The largest first, each face once: one that lies in two parts is found twice."""
    kept: list[Face] = []
    for face in sorted(faces, key=extent_px, reverse=True):
        if all(np.linalg.norm(_middle(face) - _middle(other)) > 0.5 * extent_px(other) for other in kept):
            kept.append(face)
    return kept


def _middle(face: Face) -> Float[ndarray, "2"]:
    return np.asarray(face.points_px[:, :2].mean(axis=0))
