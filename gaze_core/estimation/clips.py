"""Clips of consecutive frames at a lower rate, which never cross a gap, a cut or an invalid frame."""

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.estimation.recordings import Recording

GAP = 1.5  # a longer step between neighbours, in nominal steps, is a gap


def clips(
    recording: Recording, length: int, rate_hz: float, hop: int | None = None, shortest: int | None = None
) -> list[Int[ndarray, " t"]]:
    """Frames of each clip, in order of time.

    Args:
        recording: a converted recording.
        length: frames in a clip.
        rate_hz: frames a second in a clip; the recording's rate must be a multiple of it.
        hop: frames of the recording from the start of a clip to that of the next one; without it clips follow each other
            and use, one after the other, all frames that the lower rate leaves out.
        shortest: a clip at the end of a stretch may have as few frames as this; without it all have `length`.

    Raises:
        BadInput: the rates do not fit.
    """
    stride = clip_stride(recording, rate_hz)
    found: list[Int[ndarray, " t"]] = []
    for stretch in stretches(recording.time_s, recording.valid, recording.info.rate_hz):
        found += _stretch_clips(stretch, length, stride, hop, shortest or length)
    return found


def clip_stride(recording: Recording, rate_hz: float) -> int:
    """Frames of the recording to one frame of a clip.

    Raises:
        BadInput: the recording's rate is no multiple of the clip's.
    """
    stride = max(1, round(recording.info.rate_hz / rate_hz))
    if abs(recording.info.rate_hz / stride / rate_hz - 1) > 0.02:
        raise BadInput(
            f"{recording.path.name}: has {recording.info.rate_hz:g} frames a second, which is no multiple of the clips' "
            f"{rate_hz:g}; choose another rate"
        )
    return stride


def stretches(time_s: Float[ndarray, " n"], valid: Bool[ndarray, " n"], rate_hz: float) -> list[Int[ndarray, " k"]]:
    """Frames of each longest run of valid frames without a gap in time."""
    frames = np.flatnonzero(valid)
    if not len(frames):
        return []
    jumps = (np.diff(frames) > 1) | (np.diff(time_s[frames]) > GAP / rate_hz)
    return np.split(frames, np.flatnonzero(jumps) + 1)


def _stretch_clips(
    stretch: Int[ndarray, " k"], length: int, stride: int, hop: int | None, shortest: int
) -> list[Int[ndarray, " t"]]:
    if hop is not None:
        starts = list(range(0, len(stretch), hop))
    else:
        starts = [phase + begin for begin in range(0, len(stretch), length * stride) for phase in range(stride)]
    taken = [stretch[start : start + length * stride : stride] for start in starts]
    return [frames for frames in taken if len(frames) >= shortest]
