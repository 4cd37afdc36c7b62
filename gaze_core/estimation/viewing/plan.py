"""What a synthetic person does before a screen: fixations, saccades, pursuit, reading, blinks, and a head that drifts.

Time runs in ticks of 1/60 s. Ticks that show the same moment share one state, and so one rendered image: a fixation is
one state (a new one each 0.4 s, with the eyes' drift and the head's movement), each tick of a saccade is one, each few
ticks of a pursuit are. Seeded and exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.estimation.recording_schema import BLINK, FIXATION, PURSUIT, SACCADE
from gaze_core.estimation.viewing.setup import DISTANCE_M, SCREEN_M, SCREEN_PX

TICK_HZ = 60
Stimulus = Literal["image", "video", "wikipedia"]
PX_PER_DEG = float(np.deg2rad(1) * DISTANCE_M * SCREEN_PX[0] / SCREEN_M[0])  # at the middle of the screen
_MARGIN_PX = 40
_HOLD_TICKS = 24  # longest fixation with one state
_DRIFT_DEG = 0.2  # of the eyes, from state to state of a fixation
_CLOSED = (0.3, 0.8, 1.0, 1.0, 1.0, 0.85, 0.6, 0.35, 0.15)  # lids, tick by tick of a blink
_BLINK_EVERY_S = 3.5
# The head: spread (deg, deg, deg, m, m, m) of pitch, yaw, roll and place, and the time in which it wanders.
_WANDER, _WANDER_S = np.array([1.5, 2.0, 1.2, 0.006, 0.005, 0.010]), 2.5
_FOLLOW, _FOLLOW_S = np.array([0.15, 0.25]), 0.35  # share of the gaze's angle that the head takes over


class ViewingConfig(Config):
    """One recording of one person. Equal configurations give equal plans."""

    stimulus: Stimulus
    seconds: PositiveFloat = 6.0
    seed: NonNegativeInt = 0
    pursuit_ticks: PositiveInt = 3  # that share a state


@dataclass(frozen=True, eq=False)
class Moment:
    """What is rendered once."""

    point_px: Float[ndarray, "2"]  # of gaze, on the screen
    head: Float[ndarray, "6"]  # pitch, yaw, roll (rad), place (m) in the world
    closed: float  # lids, 0 open to 1 closed
    pupil: float  # size relative to the person's own


@dataclass(frozen=True, eq=False)
class Viewing:
    """A recording: for each tick the moment that it shows, and what the eyes do."""

    moments: tuple[Moment, ...]
    moment_of: Int[ndarray, " t"]
    kind: Int[ndarray, " t"]

    @property
    def num_ticks(self) -> int:
        """Length of the recording in ticks."""
        return len(self.kind)


class _Timeline:
    """Collects ticks, grouped into moments."""

    def __init__(self) -> None:
        self.points: list[Float[ndarray, "2"]] = []  # of each moment
        self.closed: list[float] = []
        self.kinds: list[int] = []
        self.ticks: list[int] = []  # moment of each tick
        self.kind: list[int] = []

    def add(self, point_px: Float[ndarray, "2"], kind: int, ticks: int, closed: float = 0.0) -> None:
        """A new moment that is shown for so many ticks."""
        self.ticks += [len(self.points)] * ticks
        self.kind += [kind] * ticks
        self.points.append(np.asarray(point_px, dtype=np.float64))
        self.closed.append(closed)


def plan_viewing(config: ViewingConfig) -> Viewing:
    """The plan of a recording."""
    rng = np.random.default_rng([config.seed, ("image", "video", "wikipedia").index(config.stimulus)])
    line = _Timeline()
    num_ticks = round(config.seconds * TICK_HZ)
    point = _anywhere(rng)
    next_blink = rng.uniform(0.5, 1.3) * _BLINK_EVERY_S * TICK_HZ
    reading = _reading(rng)
    while len(line.kind) < num_ticks:
        if len(line.kind) >= next_blink:
            _blink(line, point)
            next_blink = len(line.kind) + rng.uniform(0.5, 1.5) * _BLINK_EVERY_S * TICK_HZ
        if config.stimulus == "video" and rng.random() < 0.35:
            point = _pursue(rng, line, point, config.pursuit_ticks)
        else:
            short = config.stimulus == "wikipedia"
            _fixate(rng, line, point, rng.gamma(5, 0.045) if short else 0.12 + rng.gamma(2.5, 0.1))
        goal = next(reading) if config.stimulus == "wikipedia" else _next_point(rng, point)
        _saccade(line, point, goal)
        point = goal
    ticks, kind = np.array(line.ticks[:num_ticks]), np.array(line.kind[:num_ticks])
    used = ticks[-1] + 1
    points = np.stack(line.points[:used])
    heads = _head_path(rng, points[ticks])
    firsts = np.searchsorted(ticks, np.arange(used))
    pupil = 1 + 0.12 * np.sin(2 * np.pi * (np.arange(num_ticks) / TICK_HZ / rng.uniform(3, 6) + rng.random()))
    moments = tuple(
        Moment(points[m], heads[first], line.closed[m], float(pupil[first])) for m, first in enumerate(firsts)
    )
    return Viewing(moments, ticks, kind)


def _anywhere(rng: np.random.Generator) -> Float[ndarray, "2"]:
    return np.asarray(rng.uniform(_MARGIN_PX, np.asarray(SCREEN_PX) - _MARGIN_PX))


def _inside(point_px: Float[ndarray, "2"]) -> Float[ndarray, "2"]:
    return np.asarray(np.clip(point_px, _MARGIN_PX, np.asarray(SCREEN_PX) - _MARGIN_PX))


def _next_point(rng: np.random.Generator, point: Float[ndarray, "2"]) -> Float[ndarray, "2"]:
    """Free viewing: near places, and as often places anywhere on the screen."""
    if rng.random() < 0.5:
        return _anywhere(rng)
    return _inside(point + rng.normal(0, 4.5 * PX_PER_DEG, 2))


def _fixate(rng: np.random.Generator, line: _Timeline, point: Float[ndarray, "2"], seconds: float) -> None:
    left = max(4, round(seconds * TICK_HZ))
    while left > 0:
        hold = min(left, _HOLD_TICKS)
        line.add(point + rng.normal(0, _DRIFT_DEG * PX_PER_DEG, 2), FIXATION, hold)
        left -= hold


def _saccade(line: _Timeline, start: Float[ndarray, "2"], goal: Float[ndarray, "2"]) -> None:
    """Duration after the main sequence (2.2 ms a degree and 21 ms), position after the minimum jerk."""
    size_deg = float(np.linalg.norm(goal - start)) / PX_PER_DEG
    count = max(1, round((0.0022 * size_deg + 0.021) * TICK_HZ))
    for share in (np.arange(count) + 0.5) / count:
        way = 10 * share**3 - 15 * share**4 + 6 * share**5
        line.add(start + way * (goal - start), SACCADE, 1)


def _pursue(rng: np.random.Generator, line: _Timeline, start: Float[ndarray, "2"], hold: int) -> Float[ndarray, "2"]:
    """A moving thing is followed along a bow for about a second, at 6 to 16 degrees a second."""
    seconds, speed = rng.uniform(0.6, 1.4), rng.uniform(6, 16) * PX_PER_DEG
    heading, turn = rng.uniform(0, 2 * np.pi), rng.normal(0, 1.0)
    point = start
    for _ in range(round(seconds * TICK_HZ / hold)):
        step = speed * hold / TICK_HZ * np.array([np.cos(heading), np.sin(heading)])
        if (_inside(point + step) != point + step).any():
            heading += np.pi / 2 + rng.uniform(0, np.pi / 2)
            continue
        point = point + step
        heading += turn * hold / TICK_HZ
        line.add(point, PURSUIT, hold)
    return point


def _reading(rng: np.random.Generator) -> Iterator[Float[ndarray, "2"]]:
    """Points along lines of text, without end: steps of about two degrees, now and then a step back, then the next line."""
    left, right, top, bottom = 0.12 * SCREEN_PX[0], 0.88 * SCREEN_PX[0], 0.12 * SCREEN_PX[1], 0.9 * SCREEN_PX[1]
    y, x = rng.uniform(top, 0.6 * bottom), left + rng.uniform(0, 200)
    while True:
        yield np.array([x, y]) + rng.normal(0, 4, 2)
        x += (rng.normal(2.2, 0.7) if rng.random() > 0.12 else -rng.uniform(1, 4)) * PX_PER_DEG
        if x > right:
            x, y = left + abs(rng.normal(0, 30)), y + rng.uniform(38, 60)
        if y > bottom:
            y = top


def _blink(line: _Timeline, point: Float[ndarray, "2"]) -> None:
    before = -1.0
    for closed in _CLOSED:
        if closed == before:  # lids that rest closed are one moment
            line.ticks.append(line.ticks[-1])
            line.kind.append(BLINK)
        else:
            line.add(point, BLINK, 1, closed)
        before = closed


def _head_path(rng: np.random.Generator, points_px: Float[ndarray, "t 2"]) -> Float[ndarray, "t 6"]:
    """The head at each tick: it wanders about its rest, and takes over a share of the gaze's angle a little later."""
    centred = (points_px - np.asarray(SCREEN_PX) / 2) / PX_PER_DEG
    wanted_deg = (
        np.column_stack([-centred[:, 1], centred[:, 0]]) * _FOLLOW
    )  # down is pitch < 0, the person's right yaw > 0
    rest = np.concatenate([rng.normal(0, [2.5, 2.5, 1.5]), rng.uniform([-0.03, -0.02, -0.06], [0.03, 0.03, 0.08])])
    keep, ease = np.exp(-1 / (_WANDER_S * TICK_HZ)), 1 - np.exp(-1 / (_FOLLOW_S * TICK_HZ))
    wander, followed = rng.normal(0, 1, 6), wanted_deg[0]
    out = np.empty((len(points_px), 6))
    for tick, wanted in enumerate(wanted_deg):
        wander = keep * wander + np.sqrt(1 - keep**2) * rng.normal(0, 1, 6)
        followed = followed + ease * (wanted - followed)
        out[tick] = rest + _WANDER * wander
        out[tick, :2] += followed
    out[:, :3] = np.deg2rad(out[:, :3])
    return out
