"""What a look elsewhere did: `look.json` beside the pictures."""

from gaze_core.config import Config
from gaze_core.evaluation.readings import Reading
from gaze_core.evaluation.report_renderings import PitchYawDeg

RECORD_FILE = "look.json"


class LookRecord(Config):
    """What was asked for, done and read. Angles in degrees, `[pitch, yaw]`, in the frame that `frame` describes."""

    frame: str
    asked_deg: PitchYawDeg
    drawn_deg: PitchYawDeg  # differs from what was asked for where that is beyond the range of eyes
    head_deg: PitchYawDeg = (0.0, 0.0)  # the head's turn from its own pose
    focal_length_px: float | None = None  # assumed, of the picture
    faces: int | None = None  # the most in one picture; the largest is used
    frames: int = 1
    left_alone: dict[str, int] = {}  # eyes and frames that were not changed, by reason
    readings: dict[str, Reading] = {}

    @property
    def is_limited(self) -> bool:
        """Whether the eyes were turned less than asked for."""
        return any(abs(a - b) > 0.05 for a, b in zip(self.asked_deg, self.drawn_deg, strict=True))
