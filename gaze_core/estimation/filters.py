"""Causal filters of single-frame gaze, which a temporal model must beat: an average with decay, and a median.

Their strength is chosen on the validation participants. They see the frames that the temporal head sees, and forget what
was before a gap as it does.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Filter = Callable[[Float[ndarray, "n 2"], Int[ndarray, "n t"]], Float[ndarray, "n 2"]]
_WEIGHTS, _LENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (2, 3, 5, 7, 9)
# Both have a strength at which they change nothing; left out, so that a filter is always one.


def ema(gaze: Float[ndarray, "n 2"], histories: Int[ndarray, "n t"], weight: float) -> Float[ndarray, "n 2"]:
    """Exponential moving average over the history of each frame; `weight` is that of the newest frame."""
    state = gaze[np.where(histories[:, :1] < 0, histories[:, -1:], histories[:, :1])[:, 0]].astype(np.float64)
    began = histories[:, 0] >= 0
    for moment in range(1, histories.shape[1]):
        at = histories[:, moment]
        known = at >= 0
        new = gaze[np.maximum(at, 0)]
        mixed = np.where(began[:, None], weight * new + (1 - weight) * state, new)
        state = np.where(known[:, None], mixed, state)
        began |= known
    return state


def median(gaze: Float[ndarray, "n 2"], histories: Int[ndarray, "n t"], length: int) -> Float[ndarray, "n 2"]:
    """Median of both angles over the last `length` frames of each history."""
    recent = histories[:, -length:]
    values = np.where((recent < 0)[..., None], np.nan, gaze[np.maximum(recent, 0)])
    return np.nanmedian(values, axis=1)


def candidates() -> Mapping[str, Mapping[str, Filter]]:
    """The filters of both kinds, by the name of their strength."""
    return {
        "EMA": {f"{w:g} of the newest frame": lambda gaze, past, w=w: ema(gaze, past, w) for w in _WEIGHTS},
        "median": {f"{k} frames": lambda gaze, past, k=k: median(gaze, past, k) for k in _LENGTHS},
    }


def best(
    kind: str, gaze: Float[ndarray, "n 2"], histories: Int[ndarray, "n t"], error: Callable[[ndarray], float]
) -> tuple[str, Filter]:
    """The filter of a kind with the least `error` of its output, and its name."""
    found = candidates()[kind]
    name = min(found, key=lambda key: error(found[key](gaze, histories)))
    return name, found[name]
