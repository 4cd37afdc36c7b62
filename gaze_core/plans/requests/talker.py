"""The request to train a talking head of one person."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gaze_core.plans.request import Request

if TYPE_CHECKING:
    from gaze_core.plans.talker import TalkerPlan


def shipped_talker() -> Path:
    """The rendered talking head inside the package: a subject folder with sound and truth."""
    return Path(str(files("gaze_core.talker") / "shipped"))


class TalkerRequest(Request):
    """Train a talking head of one person on a video with sound, render held-out time as a film, and measure it."""

    recording: Path = Field(
        default_factory=shipped_talker,
        description="A video with sound, a folder of GaussianTalker or InsTaG, or a folder of gazeworks talker prepare.",
    )
    preset: Literal["demo", "tiny", "small", "published"] = Field(
        "tiny", description="Size and length of the training; published is for a GPU."
    )
    audio: Literal["log_mel", "whisper_tiny", "wav2vec2"] = Field(
        "log_mel", description="Audio features of a video; a prepared subject has its own."
    )

    def base_plan(self) -> "TalkerPlan":
        """The preset with the audio features."""
        from gaze_core.plans.talker import talker_plan

        return talker_plan(self.preset, self.audio)
