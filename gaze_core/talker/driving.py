"""What drives a talking head, frame by frame: sound, pose, lids, brows, gaze, and the torso that is drawn behind the head.

Each part comes from the held-out end of the recording, from a file, or from a seeded generator (`behaviour.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from gaze_core.errors import BadInput, ContractViolation
from gaze_core.geometry.angles import pitchyaw_from_vector
from gaze_core.talker.behaviour import EyeBehaviour, generate_eyes

RATE_HZ, SOUND_HZ = 25.0, 16_000
NUM_WINDOWS, _BEFORE = 8, 4  # windows of frames n-4 .. n+3, as published
_MOST_RAD = np.deg2rad([25.0, 35.0])  # pitch and yaw of eyes that seek the camera, in the head


class Driver(Protocol):
    """What driving reads of a talker subject (`subject.py`); N frames in order of time."""

    audio: Float[ndarray, "n w c"]
    viewmat: Float[ndarray, "n 4 4"]
    blink: Float[ndarray, "n 2"]
    brows: Float[ndarray, "n 3"]
    gaze_head_rad: Float[ndarray, "n 2"]
    valid: Bool[ndarray, " n"]
    split: UInt8[ndarray, " n"]
    frame_id: Int[ndarray, " n"]

    @property
    def eye_centres_m(self) -> Float[ndarray, "2 3"]:
        """(left, right) eyeball in the head frame."""
        ...


@dataclass(frozen=True, eq=False)
class Driving:
    """T frames at 25 a second.

    Attributes:
        audio: Windows of audio features, each centred on its frame.
        viewmat: Head frame (metres) to camera, OpenCV axes.
        blink: How far the (left, right) lids are closed, 0 to 1.
        brows: Inner up, outer up, down; 0 to 1.
        gaze_head_rad: `[pitch, yaw]` in the head frame, radians.
        torso_frame: Row of the subject whose torso and background are drawn.
        sound: 16 kHz mono in [-1, 1], for the film; None: it has no sound.
    """

    audio: Float[ndarray, "t w c"]
    viewmat: Float[ndarray, "t 4 4"]
    blink: Float[ndarray, "t 2"]
    brows: Float[ndarray, "t 3"]
    gaze_head_rad: Float[ndarray, "t 2"]
    torso_frame: Int[ndarray, " t"]
    sound: Float[ndarray, " s"] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in _PARTS}
        if len(set(lengths.values())) != 1 or not len(self.audio):
            raise ContractViolation(f"a driving signal has one value for each frame, found {lengths}")

    def __len__(self) -> int:
        return len(self.audio)

    def stacks(self) -> Float[ndarray, "t 8 w c"]:
        """For each frame the windows of frames n-4 to n+3, zero beyond the ends."""
        after = NUM_WINDOWS - _BEFORE - 1
        padded = np.pad(self.audio, ((_BEFORE, after), (0, 0), (0, 0)))
        return np.stack([padded[shift : shift + len(self)] for shift in range(NUM_WINDOWS)], axis=1)

    def with_eyes(
        self, gaze_head_rad: Float[ndarray, "t 2"] | None = None, blink: Float[ndarray, "t 2"] | None = None
    ) -> "Driving":
        """The same with other eyes; None keeps them."""
        return replace(
            self,
            gaze_head_rad=self.gaze_head_rad if gaze_head_rad is None else np.asarray(gaze_head_rad, np.float32),
            blink=self.blink if blink is None else np.asarray(blink, np.float32),
        )

    def with_audio_of(self, frames: Int[ndarray, " t"]) -> "Driving":
        """The same while the sound of these other frames is heard."""
        return replace(self, audio=self.audio[frames], sound=None)

    def first(self, count: int) -> "Driving":
        """The first frames, with as much of the sound."""
        sound = None if self.sound is None else self.sound[: round(count * SOUND_HZ / RATE_HZ)]
        return replace(self, sound=sound, **{name: getattr(self, name)[:count] for name in _PARTS})


_PARTS = ("audio", "viewmat", "blink", "brows", "gaze_head_rad", "torso_frame")


def held_out(subject: Driver, sound: Float[ndarray, " s"] | None = None) -> Driving:
    """The held-out end of the recording as it was recorded; `sound` is that of the whole recording, 16 kHz.

    Raises:
        BadInput: nothing is held out.
    """
    rows = np.flatnonzero(subject.split == 1)
    if not len(rows):
        raise BadInput("the subject has no held-out frames (split 1); prepare it again with a held-out part")
    pose, torso = _poses(subject, rows)
    heard = None
    if sound is not None:
        start, end = (round(frame * SOUND_HZ / RATE_HZ) for frame in (rows_ids(subject, rows)))
        heard = sound[start:end]
    values = {name: getattr(subject, name)[rows] for name in ("audio", "blink", "brows", "gaze_head_rad")}
    return Driving(viewmat=pose, torso_frame=torso, sound=heard, **values)


def rows_ids(subject: Driver, rows: Int[ndarray, " t"]) -> tuple[int, int]:
    """First and one past the last of the video's frames that these rows cover."""
    return int(subject.frame_id[rows[0]]), int(subject.frame_id[rows[-1]]) + 1


def driven(
    subject: Driver,
    audio: Float[ndarray, "t w c"],
    sound: Float[ndarray, " s"] | None = None,
    seed: int = 0,
    behaviour: EyeBehaviour | None = None,
) -> Driving:
    """Other sound of any length T over the recorded poses, from the first held-out frame on, back and forth without a jump.

    Eyes and lids come from the generator (`seed`); shorter sound ends the film.

    Raises:
        BadInput: the features are not those of the subject, or there are none.
    """
    if audio.ndim != 3 or audio.shape[1:] != subject.audio.shape[1:] or not len(audio):
        raise BadInput(
            f"audio features of shape {tuple(audio.shape)}; expected windows (frames, {subject.audio.shape[1]}, "
            f"{subject.audio.shape[2]}) as the subject has; take the extractor that the subject was prepared with"
        )
    rows = ping_pong(len(subject.audio), len(audio), _first_held_out(subject))
    pose, torso = _poses(subject, rows)
    gaze, blink = generate_eyes(len(audio), RATE_HZ, seed, behaviour)
    return Driving(
        audio=np.asarray(audio, np.float32), viewmat=pose, blink=blink.astype(np.float32), brows=subject.brows[rows],
        gaze_head_rad=gaze.astype(np.float32), torso_frame=torso, sound=sound,
    )  # fmt: skip


def generate(subject: Driver, seed: int, behaviour: EyeBehaviour | None = None) -> Driving:
    """The held-out sound and poses with eyes and lids from the generator."""
    recorded = held_out(subject)
    gaze, blink = generate_eyes(len(recorded), RATE_HZ, seed, behaviour)
    return recorded.with_eyes(gaze, blink)


def ping_pong(count: int, length: int, start: int = 0) -> Int[ndarray, " t"]:
    """`length` indices below `count` from `start` on, forwards to the end, back to the beginning, and so on.

    Neighbours differ by one, so nothing jumps and nothing freezes.
    """
    if count == 1:
        return np.zeros(length, dtype=np.int64)
    period = 2 * count - 2
    place = (np.arange(length) + start) % period
    return np.where(place < count, place, period - place)


def eye_contact(
    viewmat: Float[ndarray, "t 4 4"], eye_centres_m: Float[ndarray, "2 3"],
    camera_gaze_rad: Float[ndarray, "t 2"] | None = None,
) -> Float[ndarray, "t 2"]:  # fmt: skip
    """Gaze in the head of eyes that look into the camera from each pose, at most 25 degrees up and 35 to the side.

    `camera_gaze_rad` turns it away from there: `[pitch, yaw]` as the camera sees them, (0, 0) into the lens.
    """
    rotation, shift = viewmat[:, :3, :3], viewmat[:, :3, 3]
    middle = rotation @ eye_centres_m.mean(axis=0) + shift  # in the camera
    to_lens = -middle / np.linalg.norm(middle, axis=1, keepdims=True)
    seen = _pitchyaw(to_lens)
    wanted = seen if camera_gaze_rad is None else seen + camera_gaze_rad
    in_head = np.einsum("tji,tj->ti", rotation, _vector(wanted))
    return np.clip(_pitchyaw(in_head), -_MOST_RAD, _MOST_RAD).astype(np.float32)


def _pitchyaw(vectors: Float[ndarray, "t 3"]) -> Float[ndarray, "t 2"]:
    return np.asarray(pitchyaw_from_vector(torch.from_numpy(np.asarray(vectors, np.float64))).numpy())


def _vector(pitchyaw: Float[ndarray, "t 2"]) -> Float[ndarray, "t 3"]:
    from gaze_core.geometry.angles import vector_from_pitchyaw

    return np.asarray(vector_from_pitchyaw(torch.from_numpy(np.asarray(pitchyaw, np.float64))).numpy())


def _first_held_out(subject: Driver) -> int:
    rows = np.flatnonzero(subject.split == 1)
    return int(rows[0]) if len(rows) else 0


def _poses(subject: Driver, rows: Int[ndarray, " t"]) -> tuple[Float[ndarray, "t 4 4"], Int[ndarray, " t"]]:
    """Poses of the rows, those without a face between their valid neighbours, and the nearest row with a torso.

    Raises:
        BadInput: no frame has a face.
    """
    known = np.flatnonzero(subject.valid)
    if not len(known):
        raise BadInput("no frame of the subject has a face")
    nearest = known[np.abs(rows[:, None] - known[None]).argmin(axis=1)]
    poses = np.array(subject.viewmat[nearest], dtype=np.float32)
    for place in np.flatnonzero(~subject.valid[rows]):
        poses[place] = _between(subject, known, int(rows[place]))
    return poses, nearest


def _between(subject: Driver, known: Int[ndarray, " k"], row: int) -> Float[ndarray, "4 4"]:
    """The pose between the last frame with a face and the next: linear, its rotation made orthonormal again."""
    after = int(np.searchsorted(known, row))
    first, last = known[max(after - 1, 0)], known[min(after, len(known) - 1)]
    share = 0.0 if first == last else (row - first) / (last - first)
    pose = (1 - share) * subject.viewmat[first] + share * subject.viewmat[last]
    left, _, right = np.linalg.svd(pose[:3, :3])
    pose[:3, :3] = left @ right
    return np.asarray(pose, np.float32)


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` frames."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
