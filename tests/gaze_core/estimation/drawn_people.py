"""Recordings of drawn people: eyes are discs whose dark pupil moves with the gaze, so a tiny model learns in seconds."""

from pathlib import Path

import cv2
import numpy as np

from gaze_core.estimation.recording_schema import FIXATION, SACCADE, RecordingInfo, Screen
from gaze_core.estimation.recordings import RecordingWriter, write_index
from gaze_core.geometry.angles import vector_from_pitchyaw

FACE_PX, EYE_PX, RATE_HZ = 32, 24, 60.0
SCREEN = Screen(
    size_px=(1920, 1080),
    size_m=(0.55, 0.31),
    # x of the screen runs to the left of the camera's picture: who looks at it faces the camera.
    to_camera=((-1.0, 0.0, 0.0, 0.275), (0.0, 1.0, 0.0, 0.02), (0.0, 0.0, -1.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
)
_SPREAD_RAD, _FIXATION_FRAMES = 0.25, 24


def write_people(
    folder: Path, people: dict[str, str], num_frames: int = 240, cameras=("basler",), noise: float = 0.0, wrong=None
) -> Path:
    """Writes one recording for each person and camera. `people` maps names to splits; `wrong` changes the labels."""
    for number, (name, split) in enumerate(people.items()):
        for camera in cameras:
            write_person(folder, name, split, camera, number, num_frames, noise, wrong)
    write_index(folder)
    return folder


def write_person(folder, name, split, camera, seed, num_frames, noise, wrong):
    rng = np.random.default_rng([seed, len(camera)])
    times = np.arange(num_frames) / RATE_HZ
    gaze, kind = _scanpath(rng, num_frames)
    origin = np.tile([0.01 * (seed % 3), 0.0, 0.6], (num_frames, 1))
    pog_m = _on_screen(gaze, origin)
    shown = gaze + rng.normal(0, noise, gaze.shape)  # what the picture shows of it
    labels = gaze if wrong is None else wrong(gaze)
    info = RecordingInfo(
        participant=name, step="step001", stimulus="points", camera=camera, split=split, rate_hz=RATE_HZ,
        face_px=FACE_PX, eye_px=EYE_PX, screen=SCREEN, source="drawn",
    )  # fmt: skip
    skin = (190 + 10 * (seed % 4), 160, 140)
    with RecordingWriter(folder, info) as writer:
        writer.append({
            "face": np.stack([draw_face(skin, one) for one in shown]),
            "left_eye": np.stack([draw_eye(skin, one) for one in shown]),
            "right_eye": np.stack([draw_eye(skin, one) for one in shown]),
            "time_s": times, "frame_index": np.arange(num_frames), "valid": np.ones(num_frames, bool),
            "gaze_rad": labels.astype(np.float32),
            "head_rad": (0.3 * gaze + rng.normal(0, 0.08, gaze.shape)).astype(np.float32),
            "pog_m": pog_m.astype(np.float32), "pog_px": (pog_m * SCREEN.px_per_m).astype(np.float32),
            "rotation": np.tile(np.eye(3, dtype=np.float32), (num_frames, 1, 1)),
            "origin_m": origin.astype(np.float32), "kind": kind,
        })  # fmt: skip


def _scanpath(rng, num_frames):
    """Fixations at random places, two frames of saccade between them."""
    places = rng.uniform(-_SPREAD_RAD, _SPREAD_RAD, (num_frames // _FIXATION_FRAMES + 2, 2)) * [0.6, 1.0]
    gaze = np.repeat(places, _FIXATION_FRAMES, axis=0)[:num_frames]
    kind = np.full(num_frames, FIXATION, np.uint8)
    for start in range(_FIXATION_FRAMES, num_frames, _FIXATION_FRAMES):
        before, after = gaze[start - 1].copy(), gaze[start].copy()
        for step in (0, 1):
            if start + step < num_frames:
                gaze[start + step] = before + (after - before) * (step + 1) / 3
                kind[start + step] = SACCADE
    return gaze, kind


def _on_screen(gaze, origin):
    """Where the gaze meets the screen, metres in its frame; the screen's plane is z = 0 of the camera."""
    import torch

    direction = vector_from_pitchyaw(torch.from_numpy(gaze)).numpy()
    at = origin - direction * (origin[:, 2:] / direction[:, 2:])
    screen = np.linalg.inv(SCREEN.matrix)
    return (at @ screen[:3, :3].T + screen[:3, 3])[:, :2]


def draw_eye(skin, gaze, side=EYE_PX):
    """A white disc on skin, with a dark pupil that moves to image left for yaw > 0 and up for pitch > 0."""
    image = np.full((side, side, 3), skin, np.uint8)
    middle, radius = side / 2, side * 0.42
    _disc(image, (middle, middle), radius, (245, 245, 245))
    offset = np.array([-np.sin(gaze[1]), -np.sin(gaze[0])]) * side * 0.9
    _disc(image, np.array([middle, middle]) + offset, side * 0.16, (30, 20, 20))
    return image


def draw_face(skin, gaze, side=FACE_PX):
    """A head with two eyes."""
    image = np.full((side, side, 3), 120, np.uint8)
    _disc(image, (side / 2, side / 2), side * 0.45, skin)
    for x in (0.33, 0.67):
        eye = draw_eye(skin, gaze, side // 4)
        top, left = round(0.38 * side) - side // 8, round(x * side) - side // 8
        image[top : top + side // 4, left : left + side // 4] = eye
    return image


def _disc(image, centre, radius, colour):
    place = tuple(int(round(value * 16)) for value in centre)
    cv2.circle(image, place, int(round(radius * 16)), colour, -1, cv2.LINE_AA, 4)
