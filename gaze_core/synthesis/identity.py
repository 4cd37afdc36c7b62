"""Samples the identity of a synthetic subject, and its gaze, pose and expression in each image, from seeds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import PositiveFloat

from gaze_core.config import Config
from gaze_core.data.schema import ARKIT, NUM_IDENTITY
from gaze_core.synthesis.anatomy import LOCAL_CHANGES, PHENOTYPES
from gaze_core.synthesis.appearance import HAIR_SRGB, IRIS_SRGB, SHIRT_SRGB, Coloring
from gaze_core.synthesis.head import Shape, lid_actions
from gaze_core.synthesis.scene import LIGHTS, LightName

Interval = tuple[float, float]


class Ranges(Config):
    """Uniform ranges, degrees unless named otherwise. Gaze is in the head frame, head pose in the rig's."""

    gaze_pitch_deg: Interval = (-20, 20)
    gaze_yaw_deg: Interval = (-30, 30)
    head_pitch_deg: Interval = (-9, 9)
    head_yaw_deg: Interval = (-12, 12)
    head_roll_deg: Interval = (-5, 5)
    head_shift_m: Interval = (-0.02, 0.02)  # along each axis
    target_distance_m: Interval = (0.4, 1.5)  # where both eyes converge
    lids_full_at_deg: PositiveFloat = 25.0  # vertical gaze at which eyeLookUp/Down reach 1
    blink: Interval = (0, 0.25)  # strength of the eyeBlink of a quarter of the images; 1 closes the eyes


# Every ARKit action but blinks and `eyeLook*`: in what share of the images it occurs, and how strong it is at most.
_SINGLE_ACTIONS = (
    ("jawOpen", 0.4, 0.35), ("browInnerUp", 0.3, 0.5), ("mouthPucker", 0.12, 0.5), ("mouthFunnel", 0.12, 0.4),
    ("cheekPuff", 0.1, 0.5), ("jawForward", 0.1, 0.5), ("jawLeft", 0.06, 0.4), ("jawRight", 0.06, 0.4),
    ("mouthLeft", 0.06, 0.4), ("mouthRight", 0.06, 0.4), ("mouthClose", 0.06, 0.15), ("mouthRollLower", 0.08, 0.4),
    ("mouthRollUpper", 0.08, 0.4), ("mouthShrugLower", 0.08, 0.4), ("mouthShrugUpper", 0.08, 0.4),
    ("tongueOut", 0.03, 0.3),
)  # fmt: skip
_PAIRED_ACTIONS = (
    ("mouthSmile", 0.4, 0.7), ("browDown", 0.2, 0.5), ("eyeSquint", 0.2, 0.3), ("eyeWide", 0.15, 0.4),
    ("mouthFrown", 0.12, 0.4), ("browOuterUp", 0.15, 0.5), ("cheekSquint", 0.12, 0.5), ("noseSneer", 0.1, 0.4),
    ("mouthDimple", 0.1, 0.4), ("mouthLowerDown", 0.08, 0.3), ("mouthPress", 0.08, 0.4), ("mouthStretch", 0.08, 0.3),
    ("mouthUpperUp", 0.08, 0.3),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Moment:
    """Gaze, pose and expression of the head in one image."""

    gaze_head_eyes: Float[ndarray, "2 2"]  # (left, right) x [pitch, yaw] rad
    head_angles_rad: Float[ndarray, "3"]  # pitch, yaw, roll
    head_shift_m: Float[ndarray, "3"]
    expression: Float[ndarray, "52"]  # ARKIT order


def draw_identity(seed: int) -> tuple[Shape, Coloring]:
    """Shape and colours of an adult."""
    rng = np.random.default_rng(seed)
    female = rng.random() < 0.5
    descent = rng.dirichlet([0.6, 0.6, 0.6])  # african, asian, caucasian
    age = rng.uniform(0.6, 0.93)
    phenotypes = dict.fromkeys(PHENOTYPES, 0.5) | {
        "gender": rng.uniform(0.8, 1.0) if female else rng.uniform(0.0, 0.2),
        "age": age,
        "muscle": rng.uniform(0.3, 0.7),
        "weight": rng.uniform(0.3, 0.75),
        **dict(zip(("african", "asian", "caucasian"), descent, strict=True)),
    }
    changes = np.clip(rng.normal(0, 0.25, len(LOCAL_CHANGES)), -0.5, 0.5)
    changes[LOCAL_CHANGES.index("eye-height2-incr")] += 0.4  # anny's neutral eyes are half closed
    cover_m = float(np.random.default_rng([seed, 1]).uniform(0.0006, 0.0020))
    shape = Shape(np.array([phenotypes[name] for name in PHENOTYPES]), changes, cover_m)
    tone = float(np.clip(descent @ [4.0, 1.6, 0.5] + rng.normal(0, 0.35), 0, 5))
    pale = descent[2] > 0.55
    hair = 5 if age > 0.86 and rng.random() < 0.7 else int(rng.integers(5 if pale else 2))
    coloring = Coloring(
        seed=seed,
        skin_tone=tone,
        hair=hair,
        iris=int(rng.integers(len(IRIS_SRGB) if pale else 2)),
        shirt=int(rng.integers(len(SHIRT_SRGB))),
        lip_red=rng.uniform(0.4, 1.0) if female else rng.uniform(0.0, 0.4),
        blush=rng.uniform(0.2, 1.0),
        brow_weight=rng.uniform(0.65, 1.0) if female else rng.uniform(0.9, 1.4),
        hair_m=rng.uniform(0.006, 0.013) if female else rng.uniform(0.003, 0.009),
        hairline_m=rng.uniform(-0.012, 0.008),
        stubble=0.0 if female else rng.uniform(0, 1) * (rng.random() < 0.6),
        pupil_rad=float(np.deg2rad(rng.uniform(5.0, 9.0))),
        limbus_rad=float(np.deg2rad(rng.uniform(19.9, 22.2))),  # an iris of 11.2 to 12.4 mm on anny's large eyeballs
    )
    return shape, coloring


def identity_code(shape: Shape, coloring: Coloring, light: LightName) -> Float[ndarray, "80"]:
    """All numbers of an identity as the subject file's code, zero-padded, with the light in which it is seen.

    Without the light, a model of people in several lights could only learn their mean.
    """
    code = np.zeros(NUM_IDENTITY)
    colors = [
        coloring.skin_tone / 5, coloring.hair / len(HAIR_SRGB), coloring.iris / len(IRIS_SRGB),
        coloring.shirt / len(SHIRT_SRGB), coloring.lip_red, coloring.blush, coloring.brow_weight, coloring.stubble,
        100 * coloring.hair_m, 100 * coloring.hairline_m, coloring.pupil_rad, coloring.limbus_rad, 100 * shape.lid_cover_m,
    ]  # fmt: skip
    lit = [float(name == light) for name in LIGHTS]
    values = np.concatenate([shape.phenotypes, shape.local_changes, colors, lit])
    code[: len(values)] = values
    return code


def draw_moment(rng: np.random.Generator, ranges: Ranges, eye_centers_m: Float[ndarray, "2 3"]) -> Moment:
    """Gaze, pose and expression of one image; the lid coefficients of the expression follow the gaze."""
    gaze_deg = [rng.uniform(*ranges.gaze_pitch_deg), rng.uniform(*ranges.gaze_yaw_deg)]
    eyes = converging_gaze(np.deg2rad(gaze_deg), rng.uniform(*ranges.target_distance_m), eye_centers_m)
    pose = [rng.uniform(*r) for r in (ranges.head_pitch_deg, ranges.head_yaw_deg, ranges.head_roll_deg)]
    shift = rng.uniform(*ranges.head_shift_m, size=3)
    actions = _draw_expression(rng, ranges.blink) | lid_actions(eyes, float(np.deg2rad(ranges.lids_full_at_deg)))
    return Moment(eyes, np.deg2rad(pose), shift, np.array([actions.get(name, 0.0) for name in ARKIT]))


def converging_gaze(
    direction: Float[ndarray, "2"], distance_m: float, eye_centers_m: Float[ndarray, "2 3"]
) -> Float[ndarray, "2 2"]:
    """`[pitch, yaw]` (rad) of each eye toward the point at `distance_m` along `direction` from the origin."""
    pitch, yaw = direction
    target = -distance_m * np.array([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)])
    x, y, z = (target - eye_centers_m).T
    return np.stack([np.arctan2(-y, np.hypot(x, z)), np.arctan2(-x, -z)], axis=-1)


def _draw_expression(rng: np.random.Generator, blink: Interval) -> dict[str, float]:
    """Mild and mostly symmetric; each action is absent in most of the images. Blinks stay partial by default."""

    def strength(chance: float, least: float, most: float) -> float:
        drawn = rng.uniform(least, most)
        return float(drawn) if rng.random() < chance else 0.0

    actions = {action: strength(chance, 0, most) for action, chance, most in _SINGLE_ACTIONS}
    for action, chance, most in _PAIRED_ACTIONS:
        both = strength(chance, 0, most)
        for side in ("Left", "Right"):
            actions[f"{action}{side}"] = both * float(rng.uniform(0.85, 1.0))
    both = strength(0.25, *blink)
    return actions | {f"eyeBlink{side}": both * float(rng.uniform(0.85, 1.0)) for side in ("Left", "Right")}
