"""A reader of one person's mouth, lids and gaze: ridge regression on pixels, fitted to recorded frames of training.

It needs no download, and reads pictures so small that a landmark model fails. It sees no rendering while it is fitted, and
its own error on recorded held-out frames stands beside every number that it gives.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.preprocess.face_mesh import CORNERS
from gaze_core.sampling import evenly_spaced

_MOUTH = ((-0.62, 0.55), (0.62, 1.75), (20, 20))  # corners in units of the eyes' distance, from their middle; size
_EYES = ((-0.85, -0.28), (0.85, 0.28), (48, 16))
_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_FOLDS = 5
_MIN_FRAMES = 12
NAMES = ("opening", "blink", "pitch", "yaw")
_PART = {"opening": _MOUTH, "blink": _EYES, "pitch": _EYES, "yaw": _EYES}

Images = UInt8[ndarray, "n h w 3"]
Points = Float[ndarray, "n 478 2"]


@dataclass(frozen=True, eq=False)
class Readings:
    """What was read in N pictures: mouth opening over the eyes' distance, lids 0 to 1, `[pitch, yaw]` in the head, radians."""

    opening: Float[ndarray, " n"]
    blink: Float[ndarray, " n"]
    gaze_head_rad: Float[ndarray, "n 2"]


@dataclass(frozen=True, eq=False)
class _Map:
    mean: Float[ndarray, " f"]
    weights: Float[ndarray, " f"]
    offset: float

    def __call__(self, features: Float[ndarray, "n f"]) -> Float[ndarray, " n"]:
        return (features - self.mean) @ self.weights + self.offset


class PersonReader:
    """The fitted maps. The places of patches come from landmarks of the recorded frame with the same pose."""

    def __init__(
        self, images: Images, points: Points, opening: Float[ndarray, " n"], blink: Float[ndarray, " n"],
        gaze_head_rad: Float[ndarray, "n 2"],
    ) -> None:  # fmt: skip
        """Fits to recorded frames and their labels; NaN labels are left out."""
        patches = {part: _patches(images, points, part) for part in (_MOUTH, _EYES)}
        labels = {"opening": opening, "blink": blink, "pitch": gaze_head_rad[:, 0], "yaw": gaze_head_rad[:, 1]}
        self._maps = {name: _fitted(patches[_PART[name]], np.asarray(labels[name], np.float64)) for name in NAMES}

    def read(self, images: Images, points: Points) -> Readings:
        """What N pictures show; `points` place the patches."""
        patches = {part: _patches(images, points, part) for part in (_MOUTH, _EYES)}
        found = {name: self._maps[name](patches[_PART[name]]) for name in NAMES}
        gaze = np.stack([found["pitch"], found["yaw"]], axis=1)
        return Readings(found["opening"].clip(0, None), found["blink"].clip(0, 1), gaze)


def can_fit(num_frames: int) -> bool:
    """Whether so many frames suffice."""
    return num_frames >= _MIN_FRAMES


def thinned(rows: ndarray, most: int) -> ndarray:
    """At most so many of the rows, evenly spaced."""
    return rows if len(rows) <= most else rows[np.asarray(evenly_spaced(len(rows), most))]


def _patches(images: Images, points: Points, part: tuple[tuple[float, float], ...]) -> Float[ndarray, "n f"]:
    """Aligned patches: upright, in the scale of the eyes, their brightness divided by its mean."""
    (left, top), (right, bottom), (width, height) = part  # type: ignore[misc]
    outer, inner = (np.stack([points[:, list(c)].mean(axis=1) for c in (CORNERS.right, CORNERS.left)], axis=1)[:, k]
                    for k in range(2))  # fmt: skip
    rows = []
    for image, a, b in zip(images, outer, inner, strict=True):
        middle, along = (a + b) / 2, b - a
        down = np.array([-along[1], along[0]])
        corners = [middle + x * along + y * down for x, y in ((left, top), (right, top), (left, bottom))]
        target = np.array([[0, 0], [width, 0], [0, height]], np.float32) - 0.5
        transform = cv2.getAffineTransform(np.asarray(corners, np.float32) - 0.5, target)
        patch = cv2.warpAffine(
            image, transform, (int(width), int(height)), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        values = patch.astype(np.float64) / 255
        rows.append((values / max(values.mean(), 1e-3) - 1).ravel())
    return np.stack(rows)


def _fitted(features: Float[ndarray, "n f"], labels: Float[ndarray, " n"]) -> _Map:
    """Ridge regression in its dual form; its penalty is chosen on blocks of time."""
    known = np.isfinite(labels)
    features, labels = features[known], labels[known]
    if not can_fit(len(labels)):
        return _Map(np.zeros(features.shape[1]), np.zeros(features.shape[1]), np.nan)
    folds = np.arange(len(labels)) * _FOLDS // len(labels)
    errors = np.zeros(len(_PENALTIES))
    for fold in range(_FOLDS):
        inside = folds == fold
        learned = _ridge(features[~inside], labels[~inside], _PENALTIES)
        errors += [float(((one(features[inside]) - labels[inside]) ** 2).sum()) for one in learned]
    return _ridge(features, labels, (_PENALTIES[int(np.argmin(errors))],))[0]


def _ridge(features: Float[ndarray, "n f"], labels: Float[ndarray, " n"], penalties: tuple[float, ...]) -> list[_Map]:
    """One map for each penalty, which are in percent of the features' mean variance."""
    mean, offset = features.mean(axis=0), float(labels.mean())
    centred = features - mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    target = vectors.T @ (labels - offset)
    maps = []
    for penalty in penalties:
        ridge = 0.01 * penalty * max(float(values.mean()), 1e-9)
        solved = vectors @ (target / (values.clip(0) + ridge))
        maps.append(_Map(mean, centred.T @ solved, offset))
    return maps
