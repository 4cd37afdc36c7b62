"""A rendered talking head as a talker subject: exact labels, made-up speech, and held-out frames with another gaze.

The held-out time has other words and other movements of the same head. Its `truth` shows what no recording can: the same
moments with the eyes elsewhere.
"""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from scipy.interpolate import RBFInterpolator

from gaze_core.assets import find
from gaze_core.config import Config
from gaze_core.data.schema import ARKIT
from gaze_core.preprocess.face_mesh import CORNERS, IBUG_68, IRISES, NUM_MESH, NUM_POINTS, read_average_face
from gaze_core.preprocess.head_pose import average_head
from gaze_core.synthesis import talking
from gaze_core.synthesis.appearance import SHIRT_SRGB
from gaze_core.synthesis.factory import Person, make_person, pose_matrix
from gaze_core.synthesis.head import EYEBALL_RADIUS_M
from gaze_core.synthesis.identity import Moment
from gaze_core.synthesis.lids import IRIS_RADIUS_M
from gaze_core.synthesis.rig import View
from gaze_core.synthesis.scene import use_one_thread
from gaze_core.synthesis.speech import Speech, speak
from gaze_core.talker.audio import features_of
from gaze_core.talker.backdrop import over, shirt_and_shoulders, wall
from gaze_core.talker.layers import torso_layer
from gaze_core.talker.subject import TalkerSubjectWriter, TalkerTruth
from gaze_core.talker.subject_schema import (
    BACKGROUND,
    HAIR,
    HELD_OUT,
    LEFT_EYE,
    LIPS,
    MOUTH,
    RIGHT_EYE,
    SKIN,
    TORSO,
    TalkerFacts,
    TalkerSignals,
)

GENERATOR_VERSION = 1
_CLASSES = {
    talking.NOTHING: BACKGROUND, talking.SKIN: SKIN, talking.HAIR: HAIR, talking.LEFT_EYE: LEFT_EYE,
    talking.RIGHT_EYE: RIGHT_EYE, talking.MOUTH: MOUTH, talking.LIPS: LIPS, talking.NECK: TORSO,
}  # fmt: skip
_CLASS_OF_PART = np.array([_CLASSES[name] for name in talking.PARTS], np.uint8)
_FOCAL_PER_SIDE, _DISTANCE_M, _ABOVE_M = 300 / 128, 0.72, 0.027
_EYES_TOP_M, _EYES_BOTTOM_M = 0.032, 0.028  # above and below the eyes, what moves with gaze
_TURNS = ((1, -1), (-1, 1), (-1, -1), (0, 0))  # of (pitch, yaw): yaw flipped, pitch flipped, both, zero


class SyntheticTalkerConfig(Config):
    """One rendered talker. Equal configurations give equal images, labels and sound."""

    name: str = "synthetic_talker"
    identity_seed: NonNegativeInt = 6
    seed: NonNegativeInt = 11  # of words and movements
    num_train: PositiveInt = 200  # frames, 25 a second
    num_held_out: PositiveInt = 75  # of other words
    truth_every: PositiveInt = 3  # held-out frames that are rendered with four other gazes
    size_px: PositiveInt = 128
    num_samples: PositiveInt = 24  # light paths per pixel
    subdivisions: NonNegativeInt = 1
    num_points: PositiveInt = 5000
    focal_per_side: PositiveFloat = _FOCAL_PER_SIDE


@dataclass(frozen=True, eq=False)
class _Stage:
    """What stays the same in all frames."""

    person: Person
    view: View
    world_to_camera: Float[ndarray, "4 4"]
    plate: UInt8[ndarray, "h w 3"]
    shoulders: UInt8[ndarray, "h w 4"]
    mesh_m: Float[ndarray, "468 3"] | None  # the average face, to name all points of the mesh


def synthesize_talker(
    config: SyntheticTalkerConfig, folder: Path, progress: Callable[[int, int, float], None] | None = None
) -> Path:
    """Renders a talker and writes its subject folder.

    Args:
        config: who, how long, how large.
        folder: of the subject; it appears complete or not at all.
        progress: called after each picture as (done, to do, nan).

    Raises:
        BadInput: anny or mitsuba is not installed.
    """
    use_one_thread()
    stage = _stage(config)
    parts = [(config.num_train, config.seed), (config.num_held_out, config.seed + 1)]
    speeches = [speak(count, seed) for count, seed in parts]
    moments = [
        m for (count, seed), said in zip(parts, speeches, strict=True) for m in _moments(stage, count, seed, said)
    ]
    counterfactual = range(config.num_train, len(moments), config.truth_every)
    total, done = len(moments) + len(_TURNS) * len(counterfactual), 0
    truth: list[tuple[int, ndarray, ndarray, ndarray]] = []
    with TalkerSubjectWriter(folder) as writer:
        for index, moment in enumerate(moments):
            image, labels = _frame(stage, config, moment, index)
            writer.append(image, labels, torso_layer(image, labels))
            done += 1
            if index in counterfactual:
                for turn in _TURNS:
                    truth.append((index, *_other_gaze(stage, config, moment, turn, index, image, labels)))
                done += len(_TURNS)
            if progress:
                progress(done, total, float("nan"))
        sound = np.concatenate([said.sound for said in speeches])
        frames, gazes, images, eyes = zip(*truth, strict=True)
        writer.finish(
            _facts(stage, config, speeches), _signals(stage, config, moments, sound), stage.plate, sound,
            TalkerTruth(
                np.array(frames), np.array(frames) - config.num_train, np.stack(gazes), np.stack(images), np.stack(eyes)
            ),
        )  # fmt: skip
    return folder


def _stage(config: SyntheticTalkerConfig) -> _Stage:
    person = make_person(config.identity_seed, config.subdivisions)
    view = View(size_px=config.size_px, focal_px=config.focal_per_side * config.size_px, distance_m=_DISTANCE_M)
    world_to_camera = np.eye(4)
    world_to_camera[:3, 3] = (0, -_ABOVE_M, _DISTANCE_M)
    landmarker = find("face_landmarker")
    mesh = None if landmarker is None else average_head(read_average_face(landmarker)).points_m
    plate = wall(config.size_px, config.seed)
    shoulders = shirt_and_shoulders(config.size_px, SHIRT_SRGB[person.coloring.shirt])
    return _Stage(person, view, world_to_camera, plate, shoulders, mesh)


def _moments(stage: _Stage, count: int, seed: int, speech: Speech) -> list[Moment]:
    behaviour = talking.behave(count, seed)
    eyes_m = stage.person.head.eye_centers_m
    return [talking.moment_of(behaviour, k, speech.actions[k], eyes_m) for k in range(count)]


def _frame(
    stage: _Stage, config: SyntheticTalkerConfig, moment: Moment, seed: int, rows: tuple[int, int] | None = None
) -> tuple[UInt8[ndarray, "h w 3"], UInt8[ndarray, "h w"]]:
    """Image and label map of one frame, or of these rows."""
    picture = talking.render_moment(
        stage.person, moment, stage.view, stage.world_to_camera, config.num_samples, seed, rows=rows
    )
    window = slice(*(rows or (0, config.size_px)))
    behind = over(stage.shoulders[window], stage.plate[window])
    labels = _CLASS_OF_PART[picture.parts]
    labels[(labels == BACKGROUND) & (stage.shoulders[window, :, 3] > 127)] = TORSO
    if rows is None:
        labels = _neck_below(labels)
    return over(picture.rgba, behind), labels


def _neck_below(labels: UInt8[ndarray, "h w"]) -> UInt8[ndarray, "h w"]:
    """The labels with what is named neck but lies in the open mouth as mouth."""
    _, pieces = cv2.connectedComponents((labels == TORSO).astype(np.uint8), connectivity=8)
    at_border = np.unique(pieces[-1][pieces[-1] > 0])
    return np.where((labels == TORSO) & ~np.isin(pieces, at_border), MOUTH, labels).astype(np.uint8)


def _other_gaze(
    stage: _Stage, config: SyntheticTalkerConfig, moment: Moment, turn: tuple[int, int], seed: int,
    image: UInt8[ndarray, "h w 3"], labels: UInt8[ndarray, "h w"],
) -> tuple[Float[ndarray, "2"], UInt8[ndarray, "h w 3"], UInt8[ndarray, "h w"]]:  # fmt: skip
    """The gaze, the image and the eyes' labels of a frame whose eyes look elsewhere; only the rows of the eyes are drawn."""
    gaze = moment.gaze_head_eyes.mean(axis=0) * turn
    expression = {name: float(value) for name, value in zip(ARKIT, moment.expression, strict=True)}
    mouth_and_brows = {name: value for name, value in expression.items() if not name.startswith("eye")}
    one = talking.Behaviour(
        gaze[None],
        np.array([expression["eyeBlinkLeft"]]),
        np.zeros(1),
        moment.head_angles_rad[None],
        moment.head_shift_m[None],
    )
    other = talking.moment_of(one, 0, mouth_and_brows, stage.person.head.eye_centers_m)
    for index, name in enumerate(ARKIT):
        if name.startswith("brow"):
            other.expression[index] = expression[name]
    middle = _projected(stage, moment, np.zeros((1, 3)))[0, 1]
    per_m = stage.view.focal_px / _DISTANCE_M
    rows = int(max(middle - _EYES_TOP_M * per_m, 0)), int(min(middle + _EYES_BOTTOM_M * per_m, config.size_px))
    drawn, drawn_labels = _frame(stage, config, other, seed, rows)
    out, eyes = image.copy(), labels.copy()
    out[slice(*rows)], eyes[slice(*rows)] = drawn, drawn_labels
    eyes[(eyes != LEFT_EYE) & (eyes != RIGHT_EYE)] = BACKGROUND
    return gaze, out, eyes


def _signals(
    stage: _Stage, config: SyntheticTalkerConfig, moments: list[Moment], sound: Float[ndarray, " s"]
) -> TalkerSignals:
    count = len(moments)
    points = np.stack([_mesh_px(stage, moment) for moment in moments])
    code = np.stack([moment.expression for moment in moments])

    def action(*names: str) -> Float[ndarray, " n"]:
        return np.asarray(code[:, [ARKIT.index(name) for name in names]].mean(axis=1))

    eyes_px = [points[:, list(corners)].mean(axis=1) for corners in (CORNERS.left, CORNERS.right)]
    opening = np.linalg.norm(points[:, 13] - points[:, 14], axis=1) / np.linalg.norm(eyes_px[0] - eyes_px[1], axis=1)
    brows = (
        action("browInnerUp"),
        action("browOuterUpLeft", "browOuterUpRight"),
        action("browDownLeft", "browDownRight"),
    )
    return TalkerSignals(
        frame_id=np.arange(count),
        viewmat=np.stack([stage.world_to_camera @ pose_matrix(m.head_angles_rad, m.head_shift_m) for m in moments]),
        landmarks_px=points,
        blink=np.stack([action("eyeBlinkLeft"), action("eyeBlinkRight")], axis=1),
        brows=np.stack(brows, axis=1),
        mouth_open=opening,
        gaze_head_rad=np.stack([m.gaze_head_eyes.mean(axis=0) for m in moments]),
        gaze_sigma_rad=np.zeros(count),
        valid=np.ones(count, bool),
        audio=features_of(sound, "log_mel", count).windows,
        split=np.where(np.arange(count) >= config.num_train, HELD_OUT, 0).astype(np.uint8),
    )


def _facts(stage: _Stage, config: SyntheticTalkerConfig, speeches: list[Speech]) -> TalkerFacts:
    person = stage.person
    parts = talking.triangle_parts(person)
    on_head = np.unique(person.head.topology.faces[parts != talking.PARTS.index(talking.NECK)])
    rng = np.random.default_rng([config.seed, 5])
    chosen = np.sort(rng.permutation(on_head)[: config.num_points])
    linear = person.color[chosen]
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055)
    missing = () if stage.mesh_m is not None else ("points of the mesh other than iBUG 68 and irises",)
    return TalkerFacts(
        name=config.name,
        intrinsics=stage.view.intrinsics(),
        eye_centres_m=person.head.eye_centers_m,
        eye_radius_m=EYEBALL_RADIUS_M,
        points_m=(person.head.neutral_m + person.hair_m)[chosen],
        points_rgb=np.clip(rgb, 0, 1),
        audio_extractor="log_mel",
        audio_rate_hz=50.0,
        audio_window=16,
        source="synthetic",
        missing=missing,
        provenance={
            "generator": "gaze_core.talker.synthetic_talker",
            "generator_version": GENERATOR_VERSION,
            "config": config.model_dump(mode="json"),
            "words": [list(said.words) for said in speeches],
            "packages": {name: importlib.metadata.version(name) for name in ("anny", "mitsuba")},
        },
    )


def _projected(stage: _Stage, moment: Moment, points_head_m: Float[ndarray, "k 3"]) -> Float[ndarray, "k 2"]:
    to_camera = stage.world_to_camera @ pose_matrix(moment.head_angles_rad, moment.head_shift_m)
    seen = (points_head_m @ to_camera[:3, :3].T + to_camera[:3, 3]) @ stage.view.intrinsics().T
    return np.asarray(seen[:, :2] / seen[:, 2:])


def _mesh_px(stage: _Stage, moment: Moment) -> Float[ndarray, "478 2"]:
    """The mesh's points: exact at iBUG 68 and the irises, the average face bent through them elsewhere."""
    head = stage.person.head
    exact_m = head.landmarks(head.vertices(moment.expression, moment.gaze_head_eyes))
    points = np.full((NUM_POINTS, 3), np.nan)
    if stage.mesh_m is not None:
        bend = RBFInterpolator(stage.mesh_m[list(IBUG_68)], exact_m, kernel="thin_plate_spline")
        points[:NUM_MESH] = bend(stage.mesh_m)
    points[list(IBUG_68)] = exact_m
    pitch, yaw = moment.gaze_head_eyes.T
    forward = -np.stack([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)], axis=1)
    for center, direction, first in zip(head.eye_centers_m, forward, (IRISES.left, IRISES.right), strict=True):
        rim = IRIS_RADIUS_M * np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]])
        points[first : first + 5] = center + EYEBALL_RADIUS_M * direction + rim
    return _projected(stage, moment, points)
