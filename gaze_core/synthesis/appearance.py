"""Procedural colours: skin, lips, brows, hair, and eyeballs with iris and pupil. Linear RGB, per vertex.

Fields are painted in the coordinates of anny's average head, so that a vertex keeps its colour
for every identity and expression.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from gaze_core.geometry.landmarks import LEFT_BROW, LEFT_EYE, MOUTH, RIGHT_BROW, RIGHT_EYE
from gaze_core.synthesis.anatomy import LANDMARK_VERTICES
from gaze_core.synthesis.head import Head, Topology, eyeball_profile
from gaze_core.synthesis.meshes import distance_to_line, signed_distance_to_polygon

SKIN_SRGB = ((244, 208, 186), (229, 180, 150), (203, 150, 113), (166, 112, 78), (118, 75, 49), (72, 45, 32))
HAIR_SRGB = ((28, 22, 20), (62, 40, 27), (104, 70, 42), (158, 118, 72), (120, 52, 28), (150, 148, 146))
IRIS_SRGB = ((84, 52, 28), (122, 82, 42), (118, 112, 56), (78, 112, 78), (82, 128, 162), (124, 146, 160))
SHIRT_SRGB = ((52, 66, 92), (120, 122, 126), (140, 52, 52), (44, 92, 74), (206, 202, 194), (36, 36, 40))


@dataclass(frozen=True)
class Coloring:
    """Colours of one identity. Indices and fractions refer to the tables above."""

    seed: int
    skin_tone: float  # 0 light ... 5 dark
    hair: int
    iris: int
    shirt: int
    lip_red: float  # 0 ... 1
    blush: float  # 0 ... 1
    brow_weight: float  # 0.6 thin ... 1.4 bushy
    hair_m: float  # thickness of the hair
    hairline_m: float  # lowers (+) or raises (-) the hairline
    stubble: float  # 0 ... 1
    pupil_rad: float
    limbus_rad: float  # angular radius of the iris, from the eyeball's centre


def linear(srgb_255: tuple[int, ...]) -> Float[ndarray, "3"]:
    """Linear RGB in [0, 1] of an 8-bit sRGB colour."""
    c = np.asarray(srgb_255) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _smooth(x: ndarray, low: float, high: float) -> ndarray:
    """0 below `low`, 1 above `high` (or mirrored when high < low), smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _noise(points_m: Float[ndarray, "n 3"], scale_m: float, seed: int) -> Float[ndarray, " n"]:
    """Smooth noise of about unit size and the given grain: a few random plane waves."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(24, 3)) / scale_m
    return np.asarray(np.sin(points_m @ waves.T + rng.uniform(0, 2 * np.pi, 24)).sum(axis=1) / np.sqrt(12))


def hair_cover(topology: Topology, coloring: Coloring) -> Float[ndarray, " n"]:
    """1 where short hair grows, 0 on bare skin."""
    p = topology.reference_m
    # Height of the hairline (y down) from the forehead back over the ear to the nape, by depth z.
    line = np.interp(
        p[:, 2],
        [-0.03, 0.005, 0.03, 0.042, 0.062, 0.10, 0.112, 0.14],
        [-0.072, -0.062, -0.04, 0.0, -0.012, -0.012, 0.02, 0.062],
    )
    temple = 0.012 * np.exp(-(((np.abs(p[:, 0]) - 0.05) / 0.012) ** 2)) * (p[:, 2] < 0.03)
    edge = line + coloring.hairline_m - temple + 0.0025 * _noise(p, 0.006, coloring.seed)
    ear = (np.abs(p[:, 0]) > 0.0715) & (p[:, 1] > -0.016) & (p[:, 2] < 0.125)
    return np.where(ear, 0.0, _smooth(p[:, 1] - edge, 0.004, -0.004))


def hair_offset(head: Head, coloring: Coloring) -> Float[ndarray, "n 3"]:
    """Offset of the surface by hair, metres."""
    p = head.topology.reference_m
    lumps = 1 + 0.25 * _noise(p, 0.009, coloring.seed + 1)
    thickness = coloring.hair_m * hair_cover(head.topology, coloring) * lumps * _smooth(p[:, 1], 0.06, -0.03)
    return np.asarray(thickness[:, None] * head.normals)


def paint_head(topology: Topology, coloring: Coloring) -> Float[ndarray, "n 3"]:
    """Colour of each fine vertex."""
    p = topology.reference_m
    landmarks = p[LANDMARK_VERTICES]
    front = p[:, 2] < 0.03
    tones = np.stack([linear(tone) for tone in SKIN_SRGB])
    skin = np.stack([np.interp(coloring.skin_tone, range(len(tones)), tones[:, c]) for c in range(3)])
    hair = linear(HAIR_SRGB[coloring.hair])
    color = skin * (
        1 + 0.05 * _noise(p, 0.02, coloring.seed)[:, None] + 0.03 * _noise(p, 0.004, coloring.seed + 2)[:, None]
    )
    color = _mix(color, skin * [1.0, 0.62, 0.58], coloring.blush * 0.55 * _blush(p, landmarks) * front)
    color = _mix(color, skin * [0.72, 0.58, 0.56], 0.35 * _around_eyes(p, landmarks) * front)
    beard = _smooth(p[:, 1], 0.045, 0.06) * _smooth(p[:, 2], 0.05, 0.02) * _smooth(p[:, 1], 0.13, 0.11)
    color = _mix(color, 0.5 * skin + 0.5 * hair, 0.5 * coloring.stubble * beard)
    lips, cavity = _lips(p, landmarks)
    color = _mix(
        color, skin * [0.9, 0.52, 0.50] * (1 - 0.25 * coloring.lip_red), lips * (0.55 + 0.45 * coloring.lip_red)
    )
    color = _mix(color, np.array([0.10, 0.02, 0.02]), cavity)
    color = _mix(color, np.array([0.36, 0.11, 0.10]), topology.tongue.astype(float))
    color = _mix(color, 0.6 * hair, _brows(p, landmarks, coloring) * front)
    color = _mix(color, np.array([0.02, 0.015, 0.012]), 0.85 * _lashes(p, landmarks) * front)
    strands = hair * (1 + 0.3 * _noise(p * [1, 0.35, 1], 0.0025, coloring.seed + 3)[:, None])
    color = _mix(color, strands, hair_cover(topology, coloring))
    shirt = linear(SHIRT_SRGB[coloring.shirt])
    color = _mix(color, shirt, _smooth(p[:, 1] - 0.25 * p[:, 2], 0.122, 0.125))
    return np.clip(color, 0.003, 0.95)


def _mix(base: Float[ndarray, "n 3"], over: ndarray, amount: Float[ndarray, " n"]) -> Float[ndarray, "n 3"]:
    return np.asarray(base + (over - base) * np.clip(amount, 0, 1)[:, None])


def _blush(p: ndarray, landmarks: ndarray) -> ndarray:
    cheeks = [(landmarks[36] + landmarks[3]) / 2, (landmarks[45] + landmarks[13]) / 2]
    spots = [(c[:2] * [0.85, 1.0], 0.018) for c in cheeks] + [(landmarks[30, :2], 0.011)]
    return np.asarray(sum(np.exp(-((p[:, :2] - c) ** 2).sum(axis=1) / (2 * s * s)) for c, s in spots))


def _around_eyes(p: ndarray, landmarks: ndarray) -> ndarray:
    eyes = [landmarks[eye, :2].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.asarray(sum(np.exp(-((((p[:, :2] - e) / [0.019, 0.012]) ** 2).sum(axis=1))) for e in eyes))


def _lips(p: ndarray, landmarks: ndarray) -> tuple[ndarray, ndarray]:
    """Weights of the red of the lips and of the inside of the mouth."""
    outer = landmarks[MOUTH][:12, :2]
    distance = signed_distance_to_polygon(p[:, :2], outer)
    depth = p[:, 2] - np.interp(np.abs(p[:, 0]), [0, 0.012, 0.022], [-0.030, -0.0275, -0.017])
    near = (np.abs(p[:, 1] - 0.068) < 0.012) & (p[:, 2] < 0.06)
    cavity = near & (np.abs(p[:, 0]) < 0.021) & (depth > 0.006)
    return _smooth(distance, 0.0008, -0.0012) * (depth < 0.02) * ~cavity, cavity.astype(float)


def _brows(p: ndarray, landmarks: ndarray, coloring: Coloring) -> ndarray:
    weight = np.zeros(len(p))
    for brow, tail_first in ((landmarks[RIGHT_BROW], True), (landmarks[LEFT_BROW], False)):
        distance, along = distance_to_line(p[:, :2], brow[:, :2])
        from_tail = along if tail_first else 1 - along
        half_width = coloring.brow_weight * np.interp(from_tail, [0, 0.5, 1], [0.0012, 0.0034, 0.0038])
        ragged = distance + 0.0003 * _noise(p, 0.0012, coloring.seed + 4)
        weight = np.maximum(weight, _smooth(ragged / half_width, 1.25, 0.55))
    return 0.9 * weight


def _lashes(p: ndarray, landmarks: ndarray) -> ndarray:
    """The upper lid's margin, with its lashes; thinner on the lower lid."""
    weight = np.zeros(len(p))
    for eye in (landmarks[LEFT_EYE], landmarks[RIGHT_EYE]):
        upper, _ = distance_to_line(p, eye[:4])
        lower, _ = distance_to_line(p, eye[[3, 4, 5, 0]])
        weight = np.maximum(weight, np.maximum(_smooth(upper, 0.0019, 0.0006), 0.4 * _smooth(lower, 0.0014, 0.0004)))
    return weight


@dataclass(frozen=True, eq=False)
class Eyeball:
    """A unit eyeball that looks along -z, with its colours."""

    vertices: Float[ndarray, "n 3"]
    faces: Int[ndarray, "t 3"]
    color: Float[ndarray, "n 3"]


def make_eyeball(coloring: Coloring, num_segments: int = 96) -> Eyeball:
    """Rings about the gaze axis, dense where pupil, iris and limbus end, so that those edges are circles."""
    edges = np.concatenate(
        [
            np.linspace(0, coloring.pupil_rad, 5),
            coloring.pupil_rad + np.array([0.015]),
            np.linspace(coloring.pupil_rad + 0.03, coloring.limbus_rad - 0.03, 10),
            coloring.limbus_rad + np.array([0.0, 0.03]),
            np.linspace(coloring.limbus_rad + 0.07, 2.4, 30),
        ]
    )
    turn = np.arange(num_segments) * 2 * np.pi / num_segments
    polar, around = np.meshgrid(edges, turn, indexing="ij")
    radius = eyeball_profile(polar)
    vertices = np.stack(
        [
            radius * np.sin(polar) * np.cos(around),
            radius * np.sin(polar) * np.sin(around),
            -radius * np.cos(polar),
        ],
        axis=-1,
    )
    grid = np.arange(polar.size).reshape(polar.shape)
    a, b = grid[:-1].ravel(), np.roll(grid, -1, axis=1)[:-1].ravel()
    c, d = np.roll(grid, -1, axis=1)[1:].ravel(), grid[1:].ravel()
    faces = np.concatenate([np.stack([a, c, b], axis=1), np.stack([a, d, c], axis=1)])
    return Eyeball(vertices.reshape(-1, 3), faces, _paint_eye(polar.ravel(), around.ravel(), coloring))


def _paint_eye(polar: ndarray, around: ndarray, coloring: Coloring) -> Float[ndarray, "n 3"]:
    rng = np.random.default_rng(coloring.seed + 5)
    streaks = sum(np.sin(k * around + rng.uniform(0, 6.3)) for k in (7, 12, 19, 31)) / 4
    iris = linear(IRIS_SRGB[coloring.iris])
    depth = np.clip((polar - coloring.pupil_rad) / (coloring.limbus_rad - coloring.pupil_rad), 0, 1)
    tint = iris * (0.85 + 0.27 * np.asarray(streaks) + 0.35 * (1 - depth))[:, None]
    tint = _mix(tint, 0.25 * iris, _smooth(depth, 0.72, 1.0))
    white = np.array([0.82, 0.79, 0.76])
    pink = np.array([0.62, 0.36, 0.32])
    sclera = _mix(np.broadcast_to(white, tint.shape), pink, 0.6 * _smooth(polar, 0.75, 1.5))
    color = _mix(tint, sclera, _smooth(polar, coloring.limbus_rad - 0.005, coloring.limbus_rad + 0.035))
    color = _mix(color, np.full(3, 0.004), _smooth(polar, coloring.pupil_rad + 0.012, coloring.pupil_rad))
    return np.asarray(np.clip(color, 0.003, 0.95))
