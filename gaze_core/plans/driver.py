"""The plan of a driver run, from a preset, a layout, a settings file and `--set`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.driver.checkpoints import load_estimator
from gaze_core.driver.extraction import ExtractConfig
from gaze_core.driver.faces import require_view
from gaze_core.driver.report import DriverTolerance
from gaze_core.driver.sensors import read_track
from gaze_core.driver.tiles import LAYOUTS, TileLayout, open_drive_video
from gaze_core.errors import BadInput
from gaze_core.plans.preflight import Plan
from gaze_core.plans.settings import lookup, overridden, read_settings, validated
from gaze_core.stages.driver.evaluate import DriverEvaluateConfig
from gaze_core.stages.driver.finetune import FINETUNE_PRESETS, DriverFinetuneConfig


class DriveFiles(Config):
    """The files of a drive: its video, the eye tracker's table, and the road video if it is a separate file."""

    video: Path
    sensors: Path | None = None
    road: Path | None = None

    def require_readable(self, config: ExtractConfig) -> None:
        """Raises BadInput, with the user's own file name, for a video or table that cannot be read."""
        open_drive_video(self.video, config.layout)
        if self.road:
            open_drive_video(self.road, TileLayout())
        if self.sensors:
            read_track(self.sensors, config.columns)


class DriverPlan(Plan):
    """Everything that decides the result of a run."""

    extract: ExtractConfig = ExtractConfig()
    finetune: DriverFinetuneConfig = DriverFinetuneConfig()
    evaluate: DriverEvaluateConfig = DriverEvaluateConfig()
    tolerance: DriverTolerance = DriverTolerance()

    def require_ready(self, inputs: Mapping[str, Path]) -> None:
        """Checks that the drive is readable and labelled, and that the estimator expects the extracted face crops."""
        files = {name: path for name, path in inputs.items() if name in DriveFiles.model_fields}
        if "sensors" not in files:
            raise BadInput(f"{files['video']}: no gaze labels to learn from; give the eye tracker's CSV")
        DriveFiles(**files).require_readable(self.extract)
        _, card = load_estimator(inputs["weights"])
        view = self.extract.normalization.resized(self.extract.size_px)
        require_view(view.model_dump(mode="json"), card["normalization"], str(files["video"]))
        resolve("face_landmarker")


def driver_plan(
    preset: str, layout: str, settings: Path | None = None, num_frames: int = 500, overrides: Sequence[str] = ()
) -> DriverPlan:
    """The plan; later sources win: preset and layout, the settings file (options of the extraction), the overrides.

    Raises:
        BadInput: an unknown preset, layout, key or value; the message lists the known ones.
    """
    finetune, tiles = lookup("preset", preset, FINETUNE_PRESETS), lookup("layout", layout, LAYOUTS)
    plan = DriverPlan(finetune=finetune).model_dump(mode="json")
    plan["extract"] |= {"layout": tiles.model_dump(mode="json"), "num_frames": num_frames}
    if settings:
        plan["extract"] |= read_settings(settings)
    return overridden(validated(DriverPlan, plan), overrides)
