"""Appearance of a face in a frame: detects an occluded mouth, and frames that show another person.

Each frame is compared with the other frames of its recording, so no model of faces is needed, and light and camera are
the same. The limits were set on eleven recordings (docs/decisions/0004-video-labels.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.preprocess.face_mesh import CORNERS, FACE_OVAL, LIPS_INNER, LIPS_OUTER, RIGID, AverageFace

_SIDE_PX, _EYES_PX = 48, 48  # side of the aligned face; eye distance at which the lips are measured
_LEAST_REDNESS = 2.0  # CIELAB a* of a recording's lips; with less red lips, or in a gray recording, the check is off
_LEAST_ALIKE = 0.72  # frames of one person have a neighbour at 0.78 or above, those of other people at 0.66 or below
_CHROMA_UNIT = 100.0  # CIELAB units that count as much as the whole correlation
_NEW_EXEMPLAR = 0.9  # a frame less similar than this to all exemplars becomes an exemplar
_LEAST_FRAMES = 3  # of a second person


@dataclass(frozen=True, eq=False)
class Appearance:
    """A face's normalised pattern, its colour, and the redness of each side of the lips relative to the skin."""

    pattern: Float[ndarray, " n"]  # of unit length
    chroma: Float[ndarray, "2"]  # CIELAB a*, b*
    lip_redness: Float[ndarray, "2"]  # CIELAB a* over that of the skin around, of (image left, image right)


class AppearanceReader:
    """Measures the appearance of faces, aligned with the average face."""

    def __init__(self, average: AverageFace) -> None:
        points = average.points_m[:, :2] - average.points_m[:, :2].min(axis=0)
        self._points = points / points.max() * (_SIDE_PX - 1)
        oval = np.zeros((_SIDE_PX, _SIDE_PX), np.uint8)
        cv2.fillConvexPoly(oval, cv2.convexHull(self._points[list(FACE_OVAL)].round().astype(np.int32)), 1)
        self._inside = cv2.erode(oval, np.ones((3, 3), np.uint8)) > 0

    def __call__(self, image: UInt8[ndarray, "h w 3"], points_px: Float[ndarray, "n 2"]) -> Appearance:
        """The appearance of the face whose mesh is `points_px`."""
        lab = cv2.cvtColor(self._aligned(image, points_px), cv2.COLOR_RGB2LAB).astype(np.float32)
        light = lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), 8)
        pattern = cv2.GaussianBlur(light, (0, 0), 1)[self._inside]
        pattern = pattern - pattern.mean()
        pattern = pattern / max(float(np.linalg.norm(pattern)), 1e-6)
        return Appearance(pattern, lab[self._inside][:, 1:].mean(axis=0), _lip_redness(image, points_px))

    def _aligned(self, image: UInt8[ndarray, "h w 3"], points_px: Float[ndarray, "n 2"]) -> UInt8[ndarray, "s s 3"]:
        rigid = list(RIGID)
        there = np.column_stack([points_px[rigid], np.ones(len(rigid))])
        to_average = np.linalg.lstsq(there, self._points[rigid], rcond=None)[0].T
        shrink = 1 / np.sqrt(max(abs(np.linalg.det(to_average[:, :2])), 1e-9))
        smooth = cv2.GaussianBlur(image, (0, 0), shrink / 2) if shrink > 1.2 else image
        return np.asarray(cv2.warpAffine(smooth, to_average, (_SIDE_PX, _SIDE_PX), borderMode=cv2.BORDER_REPLICATE))


def covered_mouths(faces: Mapping[int, Appearance], least: float) -> set[int]:
    """Frames in which one side of the lips has less than `least` of its usual redness: something occludes it."""
    if not faces or least == 0:
        return set()
    usual = np.nanmedian([face.lip_redness for face in faces.values()], axis=0)
    if not (usual >= _LEAST_REDNESS).all():
        return set()
    return {index for index, face in faces.items() if (face.lip_redness < least * usual).any()}


def other_people(faces: Mapping[int, Appearance]) -> set[int]:
    """The frames of a video that do not show the person of most frames.

    Every frame of a person is similar to some other frame of that person: similar frames are linked, and each connected
    group is one person.
    """
    exemplars: list[Appearance] = []
    group: list[int] = []  # of each exemplar
    first: dict[int, int] = {}  # an exemplar of each frame's group
    for index, face in faces.items():
        alike = _similarity(face, exemplars)
        near = np.flatnonzero(alike >= _LEAST_ALIKE)
        if not len(near) or alike.max() < _NEW_EXEMPLAR:
            near = np.append(near, len(exemplars))
            exemplars.append(face)
            group.append(len(group))
        joined = {group[k] for k in near}
        group = [min(joined) if g in joined else g for g in group]
        first[index] = int(near[0])
    people = {index: group[exemplar] for index, exemplar in first.items()}
    sizes = {person: list(people.values()).count(person) for person in dict.fromkeys(people.values())}
    main = max(sizes, key=lambda person: sizes[person], default=0)
    return {index for index, person in people.items() if person != main and sizes[person] >= _LEAST_FRAMES}


def _similarity(face: Appearance, others: Sequence[Appearance]) -> Float[ndarray, " n"]:
    """Correlation of the patterns minus the colour difference."""
    if not others:
        return np.zeros(0)
    patterns, chroma = (np.stack([getattr(other, name) for other in others]) for name in ("pattern", "chroma"))
    return np.asarray(patterns @ face.pattern - np.linalg.norm(chroma - face.chroma, axis=1) / _CHROMA_UNIT)


def _lip_redness(image: UInt8[ndarray, "h w 3"], points_px: Float[ndarray, "n 2"]) -> Float[ndarray, "2"]:
    """Redness of each side of the lips; NaN for a side outside the image."""
    scale = min(1.0, _EYES_PX / float(np.linalg.norm(points_px[CORNERS.left[0]] - points_px[CORNERS.right[0]])))
    low = np.floor(points_px[list(LIPS_OUTER)].min(axis=0) - 12 / scale).clip(0).astype(int)
    high = np.ceil(points_px[list(LIPS_OUTER)].max(axis=0) + 12 / scale).astype(int)
    near = image[low[1] : high[1], low[0] : high[0]]
    if not near.size:
        return np.full(2, np.nan)
    small = cv2.resize(near, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    points = (points_px - low) * scale
    redness = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)[..., 1].astype(np.float32)
    outer, inner = (_filled(redness.shape, points[list(lips)]) for lips in (LIPS_OUTER, LIPS_INNER))
    lips = (outer > 0) & (inner == 0)
    skin = (cv2.dilate(outer, np.ones((9, 9))) > 0) & (cv2.dilate(outer, np.ones((3, 3))) == 0)
    right_corner, left_corner = points[LIPS_OUTER[0]], points[LIPS_OUTER[10]]
    ys, xs = np.mgrid[: redness.shape[0], : redness.shape[1]] + 0.5
    is_left = (np.stack([xs, ys], axis=-1) - (right_corner + left_corner) / 2) @ (left_corner - right_corner) > 0
    return np.array([_mean(redness, lips & side) - _mean(redness, skin & side) for side in (~is_left, is_left)])


def _filled(shape: tuple[int, ...], polygon_px: Float[ndarray, "n 2"]) -> UInt8[ndarray, "h w"]:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round((polygon_px - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask


def _mean(values: Float[ndarray, "h w"], where: Bool[ndarray, "h w"]) -> float:
    return float(values[where].mean()) if where.any() else float("nan")
