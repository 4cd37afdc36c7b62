"""Frame numbers that were stored in 8 bits."""

import numpy as np
from jaxtyping import Int, Shaped
from numpy import ndarray

_PERIOD = 256
_NEAR = 32  # a wrap goes from at most this far below 256 to at most this far above zero


def unwrapped(stored: Shaped[ndarray, " n"], cameras: Shaped[ndarray, " n"]) -> tuple[Int[ndarray, " n"], str]:
    """Frame numbers without the wrap at 256, and a note on the correction.

    A number may fall only where the counter wraps; then 256 is added from there on. Anything else (shuffled rows, one
    camera's frames after another's) is no counter, and the numbers stay as stored.
    """
    index = stored.astype(np.int64)
    falls = np.flatnonzero(np.diff(index) < 0) + 1
    if stored.dtype.itemsize > 1 or not len(falls):
        return index, "as stored"
    wraps = (index[falls - 1] >= _PERIOD - _NEAR) & (index[falls] < _NEAR)
    runs = np.split(cameras, falls)
    one_camera_each = all((run == run[0]).all() for run in runs) and len({int(run[0]) for run in runs}) == len(runs)
    if not wraps.all() or one_camera_each:
        return index, "as stored; not in order, so a wrap at 256 could not be undone"
    raised = np.zeros(len(index), dtype=np.int64)
    raised[falls] = _PERIOD
    return index + np.cumsum(raised), f"unwrapped at {len(falls)} places"
