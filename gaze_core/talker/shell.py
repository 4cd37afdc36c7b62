"""Points from which a head model starts: the face's mesh, and a shell of skull and hair that fits the silhouettes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

_CENTER_M, _RADII_M = (
    np.array([0.0, -0.015, 0.075]),
    np.array([0.076, 0.118, 0.100]),
)  # of an adult's head about the eyes
_SCALES = np.linspace(1.6, 0.5, 34)
_MOSTLY = 0.85  # of the frames in which a point lies inside the silhouette
_NUM_NEAR = 6


@dataclass(frozen=True, eq=False)
class Sight:
    """One frame: image, head mask, and head frame to camera."""

    image: UInt8[ndarray, "h w 3"]
    head: Bool[ndarray, "h w"]
    viewmat: Float[ndarray, "4 4"]


def start_points(
    face_m: Float[ndarray, "k 3"] | None,
    sights: Sequence[Sight],
    intrinsics: Float[ndarray, "3 3"],
    count: int,
    seed: int,
) -> tuple[Float[ndarray, "p 3"], Float[ndarray, "p 3"]]:
    """About `count` points in the head frame, two thirds on the face, and their colours in [0, 1].

    Without a face the shell goes all around.
    """
    rng = np.random.default_rng(seed)
    num_face = 0 if face_m is None else 2 * count // 3
    shell = _shell(sights, intrinsics, count - num_face, around=face_m is None)
    points = shell if face_m is None else np.concatenate([_dense(face_m, num_face, rng), shell])
    return points, _colors(points, sights, intrinsics)


def _dense(points: Float[ndarray, "k 3"], count: int, rng: np.random.Generator) -> Float[ndarray, "p 3"]:
    """The points, and random ones between near neighbours."""
    if count <= len(points):
        return points[np.sort(rng.permutation(len(points))[:count])]
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    near = np.argsort(distance, axis=1)[:, 1 : _NUM_NEAR + 1]
    first = rng.integers(len(points), size=count - len(points))
    second, third = (near[first, rng.integers(_NUM_NEAR, size=len(first))] for _ in range(2))
    weights = rng.dirichlet([1, 1, 1], size=len(first))
    between = sum(weights[:, [k]] * points[one] for k, one in enumerate((first, second, third)))
    return np.concatenate([points, np.asarray(between)])


def _shell(
    sights: Sequence[Sight], intrinsics: Float[ndarray, "3 3"], count: int, around: bool
) -> Float[ndarray, "p 3"]:
    """Points on an ellipsoid, each moved out or in as far as the silhouettes allow."""
    number = np.arange(2 * count) + 0.5
    height, turn = 1 - number / count, np.pi * (1 + np.sqrt(5)) * number
    ring = np.sqrt(1 - height**2)
    directions = np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], axis=1)
    if not around:  # not before the face, and not below the chin
        directions = directions[(directions[:, 2] > -0.25) | (directions[:, 1] < -0.75)]
        directions = directions[directions[:, 1] < 0.75]
    candidates = _CENTER_M + _SCALES[:, None, None] * directions * _RADII_M  # largest first
    inside = np.mean([_inside(candidates, sight, intrinsics) for sight in sights], axis=0) >= _MOSTLY
    found = inside.any(axis=0)
    chosen = candidates[inside.argmax(axis=0), np.arange(len(directions))]
    points = chosen[found]
    # The far side is never seen larger than the ellipsoid.
    out = np.linalg.norm((points - _CENTER_M) / _RADII_M, axis=1)
    deep = (points[:, 2] > _CENTER_M[2]) & (out > 1.1)
    points[deep, 2] = _CENTER_M[2] + (points[deep, 2] - _CENTER_M[2]) / out[deep]
    return points[np.linspace(0, len(points) - 1, min(count, len(points))).astype(int)] if len(points) else points


def _project(points: Float[ndarray, "*n 3"], viewmat: ndarray, intrinsics: ndarray) -> Float[ndarray, "*n 2"]:
    seen = (points @ viewmat[:3, :3].T + viewmat[:3, 3]) @ intrinsics.T
    return np.asarray(seen[..., :2] / seen[..., 2:])


def _pixels(points: ndarray, sight: Sight, intrinsics: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Rows, columns, and which of the points lie within the image."""
    x, y = np.moveaxis(np.floor(_project(points, sight.viewmat, intrinsics)).astype(int), -1, 0)
    height, width = sight.head.shape
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return y.clip(0, height - 1), x.clip(0, width - 1), within


def _inside(points: ndarray, sight: Sight, intrinsics: ndarray) -> ndarray:
    y, x, within = _pixels(points, sight, intrinsics)
    return np.asarray(sight.head[y, x] & within)


def _colors(points: ndarray, sights: Sequence[Sight], intrinsics: ndarray) -> Float[ndarray, "p 3"]:
    """The median colour that each point has in the frames."""
    seen = []
    for sight in sights:
        y, x, _ = _pixels(points, sight, intrinsics)
        seen.append(sight.image[y, x])
    return np.asarray(np.median(seen, axis=0) / 255)
