"""The request to train gaze estimators on EVE."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from gaze_core.plans.request import Flag, Request

if TYPE_CHECKING:
    from gaze_core.plans.estimation import EstimationPlan


def shipped_recordings() -> Path:
    """The recordings of rendered people inside the package, in EVE's layout."""
    return Path(str(files("gaze_core.estimation") / "shipped"))


CameraName = Literal["basler", "webcam_l", "webcam_c", "webcam_r"]


class EstimationRequest(Request):
    """Train gaze estimators on recordings of people before a screen, one frame, then time, and report their errors."""

    data: Path = Field(
        default_factory=shipped_recordings,
        description="Folder of EVE, of synthetic EVE, of crops in HDF5 files, or of converted recordings.",
    )
    preset: Literal["demo", "tiny", "lite", "hybrid", "h200"] = Field(
        "tiny", description="Size and length of the training; lite has 36 million parameters, hybrid 123."
    )
    camera: Annotated[tuple[CameraName, ...], Flag("--camera")] = Field(
        ("basler",), description="Cameras to use. May be repeated."
    )
    time: Literal["stride4", "eve"] = Field(
        "stride4", description="Clips of 16 frames at 15 Hz, or of 30 frames at 10 Hz as EVE's own models."
    )

    def base_plan(self) -> "EstimationPlan":
        """The preset with cameras and time scale."""
        from gaze_core.plans.estimation import estimation_plan

        return estimation_plan(self.preset, tuple(self.camera), self.time)
