"""Natural eyes, made from a seed: fixations, saccades and blinks whose statistics are those of people who talk.

Fixations last 0.3 to 3 s (log-normal), saccades 20 to 60 ms (longer for larger ones: the main sequence, Bahill et al. 1975).
There is a blink every 3 to 5 s, and more of them at saccades beyond 10 degrees. Lids follow the eyes down.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, PositiveFloat

from gaze_core.config import Config
from gaze_core.reproducibility import derived_seed

_BLINK = (0.35, 0.85, 1.0, 0.9, 0.6, 0.25)  # lids close faster than they open; stretched to the blink's length
_SACCADE_S = (0.020, 0.060)
_MAIN_SEQUENCE = (0.021, 0.0022)  # seconds, and seconds for each degree
_LARGE_DEG = 10.0
_LIDS_FOLLOW, _LIDS_FOLLOW_DEG = 0.2, 15.0


class EyeBehaviour(Config):
    """Statistics of the generated eyes. Angles are in the head."""

    fixation_s: PositiveFloat = Field(0.8, description="Median of the log-normal distribution.")
    fixation_spread: PositiveFloat = Field(0.6, description="Standard deviation of its logarithm.")
    shortest_s: PositiveFloat = 0.3
    longest_s: PositiveFloat = 3.0
    yaw_sd_deg: PositiveFloat = 6.0
    pitch_sd_deg: PositiveFloat = 3.0
    most_yaw_deg: PositiveFloat = 25.0
    most_pitch_deg: PositiveFloat = 15.0
    blink_every_s: tuple[PositiveFloat, PositiveFloat] = (3.0, 5.0)
    blink_frames: tuple[int, int] = (6, 8)
    blink_at_large_saccade: float = Field(0.4, ge=0, le=1)


def generate_eyes(
    count: int, rate_hz: float, seed: int, behaviour: EyeBehaviour | None = None
) -> tuple[Float[ndarray, "t 2"], Float[ndarray, "t 2"]]:
    """`[pitch, yaw]` in the head, radians, and how far each lid is closed (0 to 1), of `count` frames.

    The same seed gives the same eyes, and a longer sequence begins as a shorter one does.
    """
    chosen = behaviour or EyeBehaviour()
    duration_s = count / rate_hz
    gaze_deg, large_s = _gaze(duration_s, np.arange(count) / rate_hz, _stream("gaze", seed), chosen)
    starts_s = _blink_starts(duration_s, large_s, _stream("blinks", seed), chosen)
    blink = _lids(count, rate_hz, starts_s, _stream("lids", seed), chosen)
    down = _LIDS_FOLLOW * np.maximum(0.0, -gaze_deg[:, 0] / _LIDS_FOLLOW_DEG)
    closed = np.clip(blink + down, 0.0, 1.0)
    return np.deg2rad(gaze_deg), np.repeat(closed[:, None], 2, axis=1)


def _stream(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng(derived_seed(f"eyes {name}", seed))


def _gaze(
    duration_s: float, times_s: Float[ndarray, " t"], stream: np.random.Generator, chosen: EyeBehaviour
) -> tuple[Float[ndarray, "t 2"], list[float]]:
    """Gaze in degrees at each time, and when saccades beyond 10 degrees begin."""
    most = np.array([chosen.most_pitch_deg, chosen.most_yaw_deg])
    spread = np.array([chosen.pitch_sd_deg, chosen.yaw_sd_deg])
    now_s, place = 0.0, np.clip(stream.normal(0, spread), -most, most)
    knots_s, knots, large_s = [0.0], [place], []
    while now_s <= duration_s:
        length_s = chosen.fixation_s * np.exp(chosen.fixation_spread * stream.normal())
        now_s += float(np.clip(length_s, chosen.shortest_s, chosen.longest_s))
        target = np.clip(stream.normal(0, spread), -most, most)
        size_deg = float(np.linalg.norm(target - place))
        saccade_s = float(np.clip(_MAIN_SEQUENCE[0] + _MAIN_SEQUENCE[1] * size_deg, *_SACCADE_S))
        knots_s += [now_s, now_s + saccade_s]
        knots += [place, target]
        if size_deg > _LARGE_DEG:
            large_s.append(now_s)
        now_s, place = now_s + saccade_s, target
    path = np.stack(knots)
    return np.stack([np.interp(times_s, knots_s, path[:, axis]) for axis in range(2)], axis=1), large_s


def _blink_starts(
    duration_s: float, large_s: list[float], stream: np.random.Generator, chosen: EyeBehaviour
) -> list[float]:
    """When blinks begin: one in each interval, moved to a large saccade if chance wants it and one is near."""
    starts: list[float] = []
    low_s, high_s = chosen.blink_every_s
    last_s = -float(stream.uniform(0, low_s))  # a film begins somewhere between two blinks
    while True:
        regular_s = last_s + float(stream.uniform(low_s, high_s))
        pulled = float(stream.uniform()) < chosen.blink_at_large_saccade
        near = [one for one in large_s if last_s + low_s / 2 < one < regular_s]
        start_s = near[-1] if pulled and near else regular_s
        if start_s >= duration_s:
            return starts
        starts.append(start_s)
        last_s = start_s


def _lids(
    count: int, rate_hz: float, starts_s: list[float], stream: np.random.Generator, chosen: EyeBehaviour
) -> Float[ndarray, " t"]:
    closed = np.zeros(count)
    low, high = chosen.blink_frames
    for start_s in starts_s:
        length = int(stream.integers(low, high + 1))
        first = round(start_s * rate_hz)
        shape = np.interp(np.linspace(0, len(_BLINK) - 1, length), np.arange(len(_BLINK)), _BLINK)
        part = closed[first : first + length]
        np.maximum(part, shape[: len(part)], out=part)
    return closed
