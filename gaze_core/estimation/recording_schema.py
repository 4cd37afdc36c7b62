"""What a converted recording holds: labels, their shapes and units, the screen, and what is the same for all frames."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import PositiveFloat, PositiveInt

from gaze_core.config import Config

SCHEMA_VERSION = 1
KINDS = ("unknown", "fixation", "saccade", "pursuit", "blink")  # meaning of the numbers in `kind`
UNKNOWN, FIXATION, SACCADE, PURSUIT, BLINK = range(len(KINDS))
IMAGES = ("face", "left_eye", "right_eye")
Split = Literal["train", "val", "test"]
Pair = tuple[float, float]
Rigid = tuple[tuple[float, float, float, float], ...]

# Shape of one frame, type, and the value where a label is missing (None: it must be given).
LABELS: dict[str, tuple[tuple[int, ...], str, Any]] = {
    "time_s":      ((),     "float64", None),
    "frame_index": ((),     "int64",   None),  # in the video
    "valid":       ((),     "bool",    None),  # face, eyes and gaze can be used
    "gaze_rad":    ((2,),   "float32", np.nan),
    "head_rad":    ((2,),   "float32", np.nan),
    "pog_px":      ((2,),   "float32", np.nan),
    "pog_m":       ((2,),   "float32", np.nan),
    "rotation":    ((3, 3), "float32", np.nan),
    "origin_m":    ((3,),   "float32", np.nan),
    "pupil_m":     ((),     "float32", np.nan),
    "kind":        ((),     "uint8",   UNKNOWN),
}  # fmt: skip


class Screen(Config):
    """A flat screen. Its frame: origin at the upper left corner, x to its right and y down for who looks at it; metres."""

    size_px: tuple[PositiveInt, PositiveInt]  # (width, height)
    size_m: tuple[PositiveFloat, PositiveFloat]
    to_camera: Rigid  # screen frame to camera frame, 4 x 4

    @property
    def matrix(self) -> Float[ndarray, "4 4"]:
        """Screen frame to camera frame."""
        return np.array(self.to_camera, dtype=np.float64)

    @property
    def px_per_m(self) -> Float[ndarray, "2"]:
        """Pixels per metre along both sides."""
        return np.asarray(self.size_px) / np.asarray(self.size_m)


class RecordingInfo(Config):
    """What is the same for all frames of a recording."""

    participant: str  # such as "train01"
    step: str  # such as "step007"
    stimulus: str  # such as "image", "video", "wikipedia", "points"
    camera: str  # "basler", "webcam_l", "webcam_c" or "webcam_r"
    split: Split
    rate_hz: PositiveFloat  # nominal
    face_px: PositiveInt = 224
    eye_px: PositiveInt = 112
    screen: Screen | None = None
    source: str = ""  # such as "eve" or "synthetic"

    @property
    def name(self) -> str:
        """`PARTICIPANT__STEP__CAMERA`, the file's name without its ending."""
        return f"{self.participant}__{self.step}__{self.camera}"
