"""A rendered head at one moment before a fixed camera, with the class of each pixel; and how eyes, lids and head move."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from gaze_core.data.schema import ARKIT
from gaze_core.synthesis.anatomy import LANDMARK_VERTICES
from gaze_core.synthesis.appearance import _lips, hair_cover
from gaze_core.synthesis.factory import Person, place, pose_matrix
from gaze_core.synthesis.head import lid_actions
from gaze_core.synthesis.identity import Moment, converging_gaze
from gaze_core.synthesis.rig import View
from gaze_core.synthesis.scene import _SKIN, _WET, LightName, _emitters, _mesh, _sensor, _srgb, load_mitsuba

SKIN, HAIR, MOUTH, LIPS, NECK = "skin", "hair", "mouth", "lips", "neck"
LEFT_EYE, RIGHT_EYE, NOTHING = "left_eye", "right_eye", "nothing"
PARTS = (NOTHING, SKIN, HAIR, LEFT_EYE, RIGHT_EYE, MOUTH, LIPS, NECK)
_TARGET_M = 1.0
_LIDS_FULL_RAD = float(np.deg2rad(25.0))


@dataclass(frozen=True, eq=False)
class Picture:
    """RGBA over nothing, straight alpha, and the part (index in PARTS) that each pixel shows."""

    rgba: UInt8[ndarray, "h w 4"]
    parts: UInt8[ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Behaviour:
    """Eyes, lids, brows and head of each frame.

    Attributes:
        gaze_rad: `[pitch, yaw]` in the head frame.
        blink: 0 open, 1 closed.
        brows: How far the brows are raised, 0 to 1.
        head_rad: Pitch, yaw, roll of the head.
        head_m: Its place.
    """

    gaze_rad: Float[ndarray, "n 2"]
    blink: Float[ndarray, " n"]
    brows: Float[ndarray, " n"]
    head_rad: Float[ndarray, "n 3"]
    head_m: Float[ndarray, "n 3"]


def behave(count: int, seed: int, rate_hz: float = 25.0) -> Behaviour:
    """Fixations spread evenly over pitch and yaw together (15 and 25 degrees), blinks, raised brows, slow head motion."""
    rng = np.random.default_rng([seed, 23])
    cells = [(i, j) for i in range(4) for j in range(5)]
    targets: list[tuple[float, float]] = []
    gaze = np.zeros((count, 2))
    start = 0
    while start < count:
        if not targets:
            spread = [((i + rng.random()) / 4 * 30 - 15, (j + rng.random()) / 5 * 50 - 25) for i, j in cells]
            targets = [spread[k] for k in rng.permutation(len(spread))]
        length = int(rng.integers(6, 17))  # 0.24 to 0.64 s: denser than people's, so that a short film covers the range
        gaze[start : start + length] = targets.pop()
        if 0 < start < count:
            gaze[start] = 0.5 * (gaze[start - 1] + gaze[min(start + 1, count - 1)])  # a saccade of 40 ms
        start += length
    blink, brows = np.zeros(count), np.zeros(count)
    shape = np.array([0.35, 0.85, 1.0, 0.9, 0.55, 0.25, 0.08])
    at = int(rng.integers(12, 30))
    while at < count - len(shape):
        blink[at : at + len(shape)] = shape
        at += int(rng.integers(38, 75))
    for middle in np.arange(rng.integers(10, 30), count, 45):
        brows += rng.uniform(0.5, 1.0) * np.exp(-0.5 * ((np.arange(count) - middle) / 7.0) ** 2)
    times_s = np.arange(count) / rate_hz

    def sway(size: float, *rates_hz: float) -> Float[ndarray, " n"]:
        waves = [np.sin(2 * np.pi * (r * times_s + rng.random())) / (k + 1) for k, r in enumerate(rates_hz)]
        return size * np.sum(waves, axis=0)

    head = np.deg2rad(np.stack([sway(3, 0.23, 0.7), sway(6, 0.17, 0.55), sway(1.5, 0.29, 0.8)], axis=1))
    shift = np.stack([sway(0.004, 0.13, 0.4), sway(0.003, 0.2, 0.6), sway(0.004, 0.11)], axis=1)
    return Behaviour(np.deg2rad(gaze), blink, np.clip(brows, 0, 1), head, shift)


def moment_of(behaviour: Behaviour, frame: int, mouth: dict[str, float], eyes_m: Float[ndarray, "2 3"]) -> Moment:
    """The head of one frame; lids follow the gaze."""
    gaze = converging_gaze(behaviour.gaze_rad[frame], _TARGET_M, eyes_m)
    actions = dict(mouth) | lid_actions(gaze, _LIDS_FULL_RAD)
    actions |= {f"eyeBlink{side}": float(behaviour.blink[frame]) for side in ("Left", "Right")}
    raised = float(behaviour.brows[frame])
    actions |= {"browInnerUp": 0.8 * raised, "browOuterUpLeft": 0.6 * raised, "browOuterUpRight": 0.6 * raised}
    expression = np.array([actions.get(name, 0.0) for name in ARKIT])
    return Moment(gaze, behaviour.head_rad[frame], behaviour.head_m[frame], expression)


def render_moment(
    person: Person, moment: Moment, view: View, world_to_camera: Float[ndarray, "4 4"], num_samples: int, seed: int,
    light: LightName = "studio", rows: tuple[int, int] | None = None,
) -> Picture:  # fmt: skip
    """One frame, or these rows of it."""
    head_to_world = pose_matrix(moment.head_angles_rad, moment.head_shift_m)
    vertices = person.head.vertices(moment.expression, moment.gaze_head_eyes)
    surfaces = place(person, vertices, moment.gaze_head_eyes, head_to_world)
    mi = load_mitsuba()
    materials = zip(_NAMES, surfaces, (_SKIN, _WET, _WET), strict=True)
    scene = mi.load_dict(
        {
            "type": "scene",
            **{name: _mesh(mi, name, one, bsdf, (k + 1, 0)) for k, (name, one, bsdf) in enumerate(materials)},
            **_emitters(mi, light),
        }
    )
    rgba = _colors(mi, scene, _sensor(mi, view, world_to_camera, num_samples, rows), seed)
    fine = View(size_px=view.size_px * _OVERSAMPLING, focal_px=view.focal_px * _OVERSAMPLING)
    fine_rows = None if rows is None else (rows[0] * _OVERSAMPLING, rows[1] * _OVERSAMPLING)
    head_parts = triangle_parts(person)
    return Picture(
        rgba, _parts(mi, scene, _sensor(mi, fine, world_to_camera, 1, fine_rows), seed, head_parts, rgba[..., 3])
    )


def _colors(mi: Any, scene: Any, sensor: dict[str, Any], seed: int) -> UInt8[ndarray, "h w 4"]:
    """sRGB with straight alpha. Light comes straight from the lamps: less noise for the same time."""
    integrator = mi.load_dict({"type": "path", "max_depth": 2, "hide_emitters": True})
    channels = np.array(mi.render(scene, sensor=mi.load_dict(sensor), integrator=integrator, seed=seed))
    alpha = np.clip(channels[..., 3:4], 0, 1)
    rgb = _srgb(channels[..., :3] / np.maximum(alpha, 1e-3))
    return np.concatenate([rgb, (255 * alpha + 0.5).astype(np.uint8)], axis=-1)


_NAMES = ("head", "left_eye", "right_eye")
_OVERSAMPLING = 3


def _parts(
    mi: Any, scene: Any, sensor: dict[str, Any], seed: int, head_parts: Int[ndarray, " t"], alpha: UInt8[ndarray, "h w"]
) -> UInt8[ndarray, "h w"]:
    """The part that most of 3 x 3 rays of a pixel meet."""
    integrator = mi.load_dict({"type": "aov", "aovs": "face:prim_index,which:uv"})
    values = np.array(mi.render(scene, sensor=mi.load_dict(sensor), integrator=integrator, seed=seed))
    face, which = values[..., -3], np.round(values[..., -2]).astype(int)
    found = np.array([0, 0, PARTS.index(LEFT_EYE), PARTS.index(RIGHT_EYE)])[which]
    on_head = which == 1
    found[on_head] = head_parts[np.clip(np.round(face[on_head]).astype(int), 0, len(head_parts) - 1)]
    shares = np.stack([_pooled(found == part) for part in range(len(PARTS))])
    shares[0] = alpha <= 127  # the background is where the image's own rays say so
    return shares.argmax(axis=0).astype(np.uint8)


def _pooled(mask: Bool[ndarray, "h w"]) -> Float[ndarray, "h w"]:
    k = _OVERSAMPLING
    return np.asarray(mask.reshape(mask.shape[0] // k, k, mask.shape[1] // k, k).mean(axis=(1, 3)))


@lru_cache(maxsize=2)
def triangle_parts(person: Person) -> Int[ndarray, " t"]:
    """The part (index in PARTS) that each triangle of the head belongs to."""
    topology = person.head.topology
    p = topology.reference_m
    lips, cavity = _lips(p, p[LANDMARK_VERTICES])
    names = np.full(len(p), PARTS.index(SKIN))
    names[hair_cover(topology, person.coloring) > 0.5] = PARTS.index(HAIR)
    # Below the jaw, from the chin back to the nape.
    jaw = np.interp(p[:, 2], [-0.03, -0.012, 0.006, 0.035, 0.06, 0.11], [0.128, 0.122, 0.108, 0.084, 0.06, 0.062])
    names[p[:, 1] > jaw] = PARTS.index(NECK)
    names[lips > 0.5] = PARTS.index(LIPS)
    names[(cavity > 0.5) | topology.tongue] = PARTS.index(MOUTH)
    corners = names[topology.faces]
    # Two of three corners, else the first: a vote without ties.
    agree = corners[:, 1] == corners[:, 2]
    return np.asarray(np.where(agree, corners[:, 1], corners[:, 0]))
