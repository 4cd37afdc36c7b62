"""Rendered people in place of GazeCapture's, in its layout: `python -m gaze_core.one_shot.people FOLDER`.

The view is STED's at 256 px: 154 mm of the face, 1.67 px to a millimetre. Each head (pose, expression) of a person is
seen with several gazes, since pairs for training have a similar head and another gaze. The face is rendered once for
each head, and for each gaze the rows of the eyes again, which costs a third of whole pictures.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.data.adapters.angles import face_head_pose, rotated
from gaze_core.data.schema import ARKIT
from gaze_core.errors import BadInput
from gaze_core.one_shot.layout import PersonArrays, write_people
from gaze_core.synthesis.factory import Person, exact_labels, make_person, place, pose_matrix
from gaze_core.synthesis.identity import Moment, Ranges, draw_moment
from gaze_core.synthesis.rig import View, camera_positions, face_center, normalized_extrinsics
from gaze_core.synthesis.scene import LightName, render_head, use_one_thread

STED_256 = View(size_px=256, focal_px=1000.0, distance_m=0.60)
_LIGHTS: tuple[LightName, ...] = ("studio", "window", "office", "flash")
_NEAR_THE_FRONT = Ranges(
    gaze_pitch_deg=(-25, 20), gaze_yaw_deg=(-30, 30), head_pitch_deg=(-9, 9), head_yaw_deg=(-13, 13),
    head_roll_deg=(-4, 4), blink=(0, 0.1),
)  # fmt: skip
_EYE_SAMPLES, _FACE_SAMPLES = 8, 2  # light paths a pixel
_EYES = slice(36, 48)  # of the 68 landmarks
_HALF_BAND, _FEATHER = 34, 6  # rows of the eyes' band above and below their middle, and of its blend


@dataclass(frozen=True)
class Crowd:
    """Which people to render. Seeds are disjoint from those of all other rendered people."""

    seeds: tuple[int, ...]
    heads: int
    gazes: int


TRAINING = Crowd(tuple(range(3001, 3025)), heads=6, gazes=5)
TEST = Crowd(tuple(range(3901, 3904)), heads=12, gazes=6)


def render_person(identity_seed: int, heads: int, gazes: int) -> PersonArrays:
    """All pictures of one person in one light; the same arguments give the same bytes.

    Raises:
        BadInput: anny or mitsuba is not installed.
    """
    person = make_person(identity_seed, 1)
    light = _LIGHTS[identity_seed % len(_LIGHTS)]
    shots = [shot for head in range(heads) for shot in _head(person, identity_seed, head, gazes, light)]
    pixels, labels, points = (np.stack(column) for column in zip(*shots, strict=True))
    return PersonArrays(pixels, labels.astype(np.float32), points.astype(np.float32))


Shot = tuple[UInt8[ndarray, "h w 3"], Float[ndarray, "8"], Float[ndarray, "68 2"]]


def _head(person: Person, seed: int, head: int, gazes: int, light: LightName) -> list[Shot]:
    """One head with each of its gazes."""
    size, eyes_m = STED_256.size_px, person.head.eye_centers_m
    base = draw_moment(np.random.default_rng([seed, head]), _NEAR_THE_FRONT, eyes_m)
    moments = [
        _looking(base, draw_moment(np.random.default_rng([seed, head, gaze]), _NEAR_THE_FRONT, eyes_m))
        for gaze in range(gazes)
    ]
    head_to_world = pose_matrix(base.head_angles_rad, base.head_shift_m)
    center_m = face_center(person.head.landmarks(person.head.neutral_m))
    to_camera = normalized_extrinsics(camera_positions("frontal")[0], head_to_world, center_m, STED_256.distance_m)
    shots: list[Shot] = []
    face: UInt8[ndarray, "h w 3"] | None = None
    for index, moment in enumerate(moments):
        vertices_m = person.head.vertices(moment.expression, moment.gaze_head_eyes)
        surfaces = place(person, vertices_m, moment.gaze_head_eyes, head_to_world)
        labels = exact_labels(moment, person.head.landmarks(vertices_m), head_to_world, to_camera, STED_256)
        points = labels["landmarks_2d_px"]
        noise = 1000 * head + index
        if face is None:
            whole = render_head(*surfaces, light, STED_256, to_camera, _FACE_SAMPLES, noise)
            face = cv2.fastNlMeansDenoisingColored(cv2.medianBlur(whole.image, 3), None, 6, 6, 5, 11)
        middle = int(points[_EYES, 1].mean())
        rows = max(0, middle - _HALF_BAND), min(size, middle + _HALF_BAND)
        band = render_head(*surfaces, light, STED_256, to_camera, _EYE_SAMPLES, noise, rows).image
        shots.append((_blended(face, band, rows), _sted_labels(labels, to_camera @ head_to_world), points))
    return shots


def _looking(head: Moment, gaze: Moment) -> Moment:
    """The head's moment with the gaze of another one, and the lids that follow it."""
    expression = head.expression.copy()
    for index, name in enumerate(ARKIT):
        if name.startswith("eyeLook"):
            expression[index] = gaze.expression[index]
    return replace(head, gaze_head_eyes=gaze.gaze_head_eyes, expression=expression)


def _blended(face: ndarray, band: ndarray, rows: tuple[int, int]) -> UInt8[ndarray, "h w 3"]:
    """The face with the band of the eyes in its rows."""
    clean = cv2.fastNlMeansDenoisingColored(band, None, 2.5, 2.5, 5, 11).astype(np.float32)
    ramp = np.minimum(np.arange(len(band)) + 1, np.arange(len(band))[::-1] + 1) / _FEATHER
    weight = np.clip(ramp, 0, 1)[:, None, None]
    out = face.copy()
    out[slice(*rows)] = (face[slice(*rows)] + weight * (clean - face[slice(*rows)])).round().astype(np.uint8)
    return out


def _sted_labels(labels: dict[str, ndarray], head_to_camera: Float[ndarray, "4 4"]) -> Float[ndarray, "8"]:
    """Gaze, head, left eye's and right eye's gaze, each `[pitch, yaw]` in the camera's frame."""
    turn = head_to_camera[:3, :3]
    eyes = rotated(labels["gaze_head_eyes"], turn)
    # The published head is the direction of the z axis, which points into the head, without the minus of gazes.
    return np.concatenate([labels["gaze_camera"], face_head_pose(turn), eyes[0], eyes[1]])


def main(arguments: list[str]) -> None:
    """Renders all missing people to FOLDER/training and FOLDER/test, one file a person, in this process."""
    if len(arguments) != 1:
        raise BadInput(f"{len(arguments)} arguments; expected one, the folder for the files")
    use_one_thread()
    jobs = [(name, crowd, seed) for name, crowd in (("training", TRAINING), ("test", TEST)) for seed in crowd.seeds]
    for name, crowd, seed in sorted(jobs, key=lambda job: (job[2] % 100) * (5 if job[0] == "test" else 1)):
        path = Path(arguments[0]) / name / f"{seed:05d}.h5"
        if not path.exists():
            write_people(path, {f"{seed:05d}": render_person(seed, crowd.heads, crowd.gazes)})


if __name__ == "__main__":
    main(sys.argv[1:])
