"""Baselines that a gaze estimator must beat, on pairs of angles in radians, `[pitch, yaw]` or `[elevation, azimuth]`.

Gaze may vary so little, as while driving, that a constant scores well; head pose alone scores better; and a constant or
linear correction of an estimator that does not know the person needs a handful of frames.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.reproducibility import derived_seed

Angles = Float[ndarray, "n 2"]
Correction = Callable[[Angles], Angles]
_RIDGE = 1e-2


def constant(truth: Angles, count: int) -> Angles:
    """The mean of the training labels, `count` times."""
    return np.tile(truth.mean(axis=0), (count, 1))


def bias_correction(predicted: Angles, truth: Angles) -> Correction:
    """Adds the mean error."""
    shift = (truth - predicted).mean(axis=0)
    return lambda angles: angles + shift


def affine_correction(predicted: Angles, truth: Angles) -> Correction:
    """A linear map with an offset, regularised toward a pure offset, since few frames are given."""
    middle, target = predicted.mean(axis=0), truth.mean(axis=0)
    x, y = predicted - middle, truth - target
    # Ridge about the identity: solves for what must be added to it.
    weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(2), x.T @ (y - x))
    return lambda angles: target + (angles - middle) + (angles - middle) @ weights


def head_features(head_to_camera: Float[ndarray, "n 4 4"]) -> Float[ndarray, "n k"]:
    """Features of the head pose: facing direction, roll and position, with their products."""
    rotation, place = head_to_camera[:, :3, :3], head_to_camera[:, :3, 3]
    x, y, z = -rotation[:, :, 2].T
    pose = np.stack(
        [np.arctan2(-y, np.hypot(x, z)), np.arctan2(-x, -z), np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])]
    )
    linear = np.concatenate([pose.T, place], axis=1)
    rows, columns = np.triu_indices(linear.shape[1])
    return np.concatenate([linear, linear[:, rows] * linear[:, columns]], axis=1)


def head_pose_regression(features: Float[ndarray, "m k"], truth: Angles) -> Callable[[Float[ndarray, "n k"]], Angles]:
    """Ridge regression of the gaze on the head's pose alone."""
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    x, target = (features - middle) / spread, truth.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + len(x) * _RIDGE * np.eye(x.shape[1]), x.T @ (truth - target))
    return lambda more: target + (more - middle) / spread @ weights


def few_shot(
    fit: Callable[[Angles, Angles], Correction], predicted: Angles, truth: Angles, test: Angles, count: int, draws: int
) -> list[Angles]:
    """The corrected test predictions for `draws` random choices of `count` training frames."""
    rng = np.random.default_rng(derived_seed("few shot", count))
    out = []
    for _ in range(draws):
        chosen = rng.choice(len(predicted), count, replace=False)
        out.append(fit(predicted[chosen], truth[chosen])(test))
    return out
