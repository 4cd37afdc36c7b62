"""The request to train a gaze redirector."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from gaze_core.plans.request import Flag, Request

if TYPE_CHECKING:
    from gaze_core.plans.redirection import RedirectionPlan

Source = Literal["synthetic", "video"]
Start = Literal["auto", "known", "scratch"]
PresetName = Literal["tiny", "small", "paper", "h200"]


def shipped_subject() -> Path:
    """The synthetic subject file inside the package."""
    return Path(str(files("gaze_core.data") / "packs" / "synthetic_128.h5"))


class RedirectionRequest(Request):
    """Train a gaze redirector on a recording of one person, or on a folder of subject files, and report how well it works."""

    recording: Annotated[Path, Flag("--input")] = Field(
        default_factory=shipped_subject, description="Video, images, or subject files: a file or a folder."
    )
    source: Source = Field("synthetic", description="What the input is.")
    test: Path | None = Field(
        None, description="Subject files of people who are only evaluated, for a folder of subject files."
    )
    preset: PresetName = Field("small", description="Size of the models: tiny, small, paper or h200.")
    start: Start = Field(
        "auto",
        description="What training starts from: known (the shipped model of rendered people), scratch, or auto: "
        "known for recordings with the presets of 128 px.",
    )
    baseline: bool = Field(True, description="Train the baseline renderer too, and compare with it.")

    def base_plan(self) -> "RedirectionPlan":
        """The preset for the source, with or without the baseline."""
        from gaze_core.plans.redirection import redirection_plan

        plan = redirection_plan(self.preset, self.source, start=self.start)
        return plan if self.baseline else plan.model_copy(update={"baseline_renderer": None})
