"""What a talker subject holds besides its images: the signals of each frame, and facts about the whole recording."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from gaze_core.errors import BadInput

SCHEMA_VERSION = 1
RATE_HZ, SOUND_HZ = 25.0, 16_000
BACKGROUND, SKIN, HAIR, LEFT_EYE, RIGHT_EYE, MOUTH, LIPS, TORSO = range(
    8
)  # classes of label maps; the subject's own eyes
HEAD_CLASSES = (SKIN, HAIR, LEFT_EYE, RIGHT_EYE, MOUTH, LIPS)
TRAIN, HELD_OUT = 0, 1


@dataclass(frozen=True, eq=False)
class TalkerSignals:
    """One value a frame for N frames in order of time. The head frame is the world (docs/conventions.md), metres.

    Attributes:
        frame_id: Number of the frame in the video at 25 a second; lost frames leave gaps and shift nothing.
        viewmat: Head frame to camera, OpenCV axes: the head is fixed, the camera moves.
        landmarks_px: The mesh's 478 points; NaN where one is not known.
        blink: How far the (left, right) lids are closed, 0 to 1.
        brows: Inner up, outer up, down; 0 to 1.
        mouth_open: Distance of the inner lips over the distance of the eyes.
        gaze_head_rad: `[pitch, yaw]` in the head frame; `gaze_sigma_rad` is its expected error.
        valid: A face was found; the other values are neighbours' or zero where it was not.
        audio: Window of sound features centred on the frame.
        split: 0 train, 1 held out.
    """

    frame_id: Int[ndarray, " n"]
    viewmat: Float[ndarray, "n 4 4"]
    landmarks_px: Float[ndarray, "n 478 2"]
    blink: Float[ndarray, "n 2"]
    brows: Float[ndarray, "n 3"]
    mouth_open: Float[ndarray, " n"]
    gaze_head_rad: Float[ndarray, "n 2"]
    gaze_sigma_rad: Float[ndarray, " n"]
    valid: Bool[ndarray, " n"]
    audio: Float[ndarray, "n w c"]
    split: UInt8[ndarray, " n"]

    def __len__(self) -> int:
        return len(self.frame_id)

    def require_consistent(self, where: str) -> None:
        """Checks shapes, order and range.

        Raises:
            BadInput: a signal has another length or shape, a frame number repeats, or a value that is used is not finite.
        """
        count = len(self)
        for name, shape in SHAPES.items():
            found = np.shape(getattr(self, name))
            expected = (count, *shape)
            if len(found) != len(expected) or any(a not in (b, None) for a, b in zip(expected, found, strict=True)):
                raise BadInput(
                    f"{where}: {name} has shape {found}; expected {_text(expected)}; prepare the subject again"
                )
        if count and (np.diff(self.frame_id) <= 0).any():
            raise BadInput(f"{where}: frame numbers are not in order of time; prepare the subject again")
        for name in ("viewmat", "blink", "brows", "gaze_head_rad", "audio"):
            values = getattr(self, name)
            values = values if name == "audio" else values[self.valid]
            if not np.isfinite(values).all():
                raise BadInput(f"{where}: {name} is not finite in a valid frame; prepare the subject again")


# Shape of each signal after the frames; None is any size.
SHAPES: dict[str, tuple[int | None, ...]] = {
    "frame_id": (), "viewmat": (4, 4), "landmarks_px": (478, 2), "blink": (2,), "brows": (3,), "mouth_open": (),
    "gaze_head_rad": (2,), "gaze_sigma_rad": (), "valid": (), "audio": (None, None), "split": (),
}  # fmt: skip
DTYPES = {"frame_id": np.int64, "valid": np.bool_, "split": np.uint8}
assert set(SHAPES) == {field.name for field in fields(TalkerSignals)}


@dataclass(frozen=True, eq=False)
class TalkerFacts:
    """Facts of the whole recording.

    Attributes:
        name: Of the subject.
        intrinsics: Camera matrix in pixels of the stored images.
        eye_centres_m: (left, right) eyeball in the head frame.
        points_m: Points on and around the head, from which a model starts; `points_rgb` are their colours in [0, 1].
        audio_extractor: Name of the features (`audio.py`), `audio_rate_hz` and `audio_window` their rate and window.
        source: What the subject was made of: `synthetic`, `video` or `published`.
        missing: What the source lacked, in words.
    """

    name: str
    intrinsics: Float[ndarray, "3 3"]
    eye_centres_m: Float[ndarray, "2 3"]
    eye_radius_m: float
    points_m: Float[ndarray, "p 3"]
    points_rgb: Float[ndarray, "p 3"]
    audio_extractor: str
    audio_rate_hz: float
    audio_window: int
    source: str
    missing: tuple[str, ...] = ()
    provenance: dict[str, Any] | None = None
    rate_hz: float = RATE_HZ


def held_out_end(count: int, share: float = 1 / 11) -> UInt8[ndarray, " n"]:
    """The split in which the last share of the frames is held out, as published."""
    split = np.zeros(count, dtype=np.uint8)
    split[int(count * (1 - share)) :] = HELD_OUT
    return split


def _text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
