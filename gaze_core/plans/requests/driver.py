"""The request to fine-tune a gaze estimator on a drive."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gaze_core.driver.shipped_files import SETTINGS_FILE, TABLE_FILE, VIDEO_FILE, shipped
from gaze_core.plans.request import Request

if TYPE_CHECKING:
    from gaze_core.plans.driver import DriveFiles, DriverPlan


class DriverRequest(Request):
    """Extract, fine-tune, measure before and after on held-out blocks of time, compare with the baselines."""

    video: Path = Field(description="Video with the driver's face: tiles side by side, or the driver alone.")
    sensors: Path = Field(description="The eye tracker's CSV.")
    weights: Path | None = Field(
        None,
        description="Estimator to fine-tune: .safetensors, its folder, or a .pth tracker; else the one that ships.",
    )
    road: Path | None = Field(None, description="Video of the road, if it is a file of its own.")
    layout: Literal["whole", "dashgaze"] = Field("whole", description="Where driver and road are in a frame.")
    settings: Path | None = Field(None, description="JSON with more of the extraction's options, such as layout.")
    frames: int = Field(500, ge=10, description="How many evenly spaced frames to label.")
    preset: Literal["full", "frozen"] = Field(
        "full", description="full trains all layers for 30 epochs, frozen the head for 15."
    )

    @property
    def files(self) -> "DriveFiles":
        """The files of the drive."""
        from gaze_core.plans.driver import DriveFiles

        return DriveFiles(video=self.video, sensors=self.sensors, road=self.road)

    def base_plan(self) -> "DriverPlan":
        """The preset with the layout and the options of the extraction."""
        from gaze_core.plans.driver import driver_plan

        return driver_plan(self.preset, self.layout, self.settings, self.frames)


class DriverDemoRequest(DriverRequest):
    """Fine-tune the estimator that ships with the package on the short rendered drive that ships, too."""

    video: Path = Field(default_factory=lambda: shipped(VIDEO_FILE), description="The shipped video.")
    sensors: Path = Field(default_factory=lambda: shipped(TABLE_FILE), description="The shipped table.")
    settings: Path | None = Field(default_factory=lambda: shipped(SETTINGS_FILE), description="The shipped layout.")
    frames: int = Field(330, ge=10, description="How many evenly spaced frames to label.")
