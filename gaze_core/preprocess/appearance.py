"""Whether all faces of a recording are one person's, and whether something covers a mouth: by how faces look.

The landmark model draws a whole face on whatever resembles one, so neither shows in the landmarks. Both checks compare a
frame with the rest of its recording, and say nothing where that is too small.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.landmarks import Face
from gaze_core.sampling import evenly_spaced

_MIN_FACES = 8  # below it, no face is unusual
_MAX_SAMPLES = 4000  # faces that are clustered; the others join the nearest one's cluster
# 1 - correlation of the features, single linkage: a head that turns is a chain of like faces, other people are no part of it.
# Measured: 0.2 at most within a recording, 0.27 and more to other people for 14 of 15 pairs of recordings.
_MAX_LINK, _MAX_LINK_APART = 0.25, 0.45
MAX_STEP_S = 0.3  # between faces of a chain; images further apart may differ more
_SIDE_PX, _STEP_PX = 48, 2
_FINE_PX, _COARSE_PX = 1.5, 8.0  # between these scales lie a face's features; light and noise do not
_EYES_AND_NOSE = (33, 263, 1)  # outer corners, tip: points of the face mesh
_PLACES_PX = ((10.0, 14.0), (38.0, 14.0), (24.0, 30.0))
_OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
_CHEEKS = ((50, 101, 36, 205), (280, 330, 266, 425))
_MIN_CONTRAST = 15.0  # CIELAB units of 8-bit images; paler lips tell nothing
_LEAST_CONTRAST_LEFT = 0.2  # of the recording's own


@dataclass(frozen=True, eq=False)
class Appearance:
    """How one face looks.

    Attributes:
        features: Brightness between two scales, aligned by eyes and nose, of norm 1.
        lip_contrast: Mean colour of the lips less that of the cheeks, CIELAB of 8-bit images; nan where they are too small.
    """

    features: Float[ndarray, "n"]
    lip_contrast: Float[ndarray, "3"]

    @classmethod
    def of(cls, image: RgbImage, face: Face) -> "Appearance":
        """Of a face in its image."""
        return cls(_features(image, face), _lip_contrast(image, face))


def unusual(appearances: Mapping[int, Appearance], step_s: float | None) -> dict[int, str]:
    """By frame, why a face is not used: "another_face" or "mouth_covered". The most frequent face stays.

    `step_s` is the time from one image to the next; None for photographs, whose order says nothing.
    """
    if len(appearances) < _MIN_FACES:
        return {}
    frames, features = list(appearances), np.stack([one.features for one in appearances.values()])
    chosen = evenly_spaced(len(features), _MAX_SAMPLES)
    is_chain = step_s is not None and step_s * len(features) / len(chosen) <= MAX_STEP_S
    own = _most_frequent(features, features[chosen], _MAX_LINK if is_chain else _MAX_LINK_APART)
    contrasts = np.stack([one.lip_contrast for one in appearances.values()])
    covered = own & _without_lips(contrasts, contrasts[own])
    return {f: "another_face" for f, is_own in zip(frames, own, strict=True) if not is_own} | {
        f: "mouth_covered" for f, is_covered in zip(frames, covered, strict=True) if is_covered
    }


def _most_frequent(
    features: Float[ndarray, "k n"], chosen: Float[ndarray, "m n"], max_link: float
) -> Bool[ndarray, " k"]:
    """Which faces belong to the largest cluster of the chosen ones."""
    distances = (1 - chosen @ chosen.T).clip(0)
    np.fill_diagonal(distances, 0)
    clusters = fcluster(linkage(squareform(distances, checks=False), "single"), max_link, "distance")
    nearest = (features @ chosen.T).argmax(axis=1)
    return np.asarray(clusters[nearest] == np.bincount(clusters).argmax())


def _without_lips(contrasts: Float[ndarray, "k 3"], own: Float[ndarray, "m 3"]) -> Bool[ndarray, " k"]:
    """Where the lips no longer differ from the cheeks as they usually do."""
    known = own[np.isfinite(own).all(axis=1)]
    usual = np.median(known, axis=0) if len(known) >= _MIN_FACES else np.zeros(3)
    if np.linalg.norm(usual) < _MIN_CONTRAST:
        return np.zeros(len(contrasts), bool)
    return np.asarray(contrasts @ usual < _LEAST_CONTRAST_LEFT * (usual @ usual))


def _features(image: RgbImage, face: Face) -> Float[ndarray, "n"]:
    points_px = face.points_px[list(_EYES_AND_NOSE), :2].astype(np.float32)
    to_patch, _ = cv2.estimateAffinePartial2D(points_px, np.array(_PLACES_PX, np.float32))
    if to_patch is None:  # points on one line: as unlike as can be
        return np.zeros((_SIDE_PX // _STEP_PX - 4) ** 2, np.float32)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    patch = cv2.warpAffine(gray, to_patch, (_SIDE_PX, _SIDE_PX), flags=cv2.INTER_AREA).astype(np.float32)
    detail = np.asarray(cv2.GaussianBlur(patch, (0, 0), _FINE_PX) - cv2.GaussianBlur(patch, (0, 0), _COARSE_PX))
    border = 2 * _STEP_PX
    values = detail[border : _SIDE_PX - border : _STEP_PX, border : _SIDE_PX - border : _STEP_PX].ravel()
    return values / max(float(np.linalg.norm(values)), 1e-6)


def _lip_contrast(image: RgbImage, face: Face) -> Float[ndarray, "3"]:
    points_px = face.points_px[:, :2]
    low = np.floor(points_px.min(axis=0)).astype(int).clip(0)
    high = np.ceil(points_px.max(axis=0)).astype(int)
    lab = cv2.cvtColor(image[low[1] : high[1] + 1, low[0] : high[0] + 1], cv2.COLOR_RGB2LAB).astype(np.float32)
    contours = np.round(points_px - low).astype(np.int32)
    lips, cheeks = np.zeros(lab.shape[:2], np.uint8), np.zeros(lab.shape[:2], np.uint8)
    cv2.fillPoly(lips, [contours[list(_OUTER_LIPS)]], 1)
    cv2.fillPoly(lips, [contours[list(_INNER_LIPS)]], 0)
    cv2.fillPoly(cheeks, [contours[list(cheek)] for cheek in _CHEEKS], 1)
    if not lips.any() or not cheeks.any():
        return np.full(3, np.nan, np.float32)
    return np.asarray(lab[lips > 0].mean(axis=0) - lab[cheeks > 0].mean(axis=0))
