"""From a preset, a layout, a settings file and `--set` to the plan of a driver run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaze_core.config import Config
from gaze_core.driver.extraction import ExtractConfig
from gaze_core.driver.footage import LAYOUTS
from gaze_core.driver.report import DriverTolerance
from gaze_core.errors import BadInput
from gaze_core.plans.overrides import changed, validated
from gaze_core.stages.driver.evaluate import DriverEvaluateConfig
from gaze_core.stages.driver.finetune import FINETUNE_PRESETS, DriverFinetuneConfig


class DriverPlan(Config):
    """All that decides the result of a run."""

    extract: ExtractConfig = ExtractConfig()
    finetune: DriverFinetuneConfig = DriverFinetuneConfig()
    evaluate: DriverEvaluateConfig = DriverEvaluateConfig()
    tolerance: DriverTolerance = DriverTolerance()


def driver_plan(
    preset: str, layout: str, settings: Path | None = None, num_frames: int = 500, changes: Sequence[str] = ()
) -> DriverPlan:
    """Later ones win: preset and layout, then the settings file (options of the extraction), then the changes.

    Raises:
        BadInput: an unknown preset, layout, key or value; the message lists what is known.
    """
    if preset not in FINETUNE_PRESETS:
        raise BadInput(f"unknown preset {preset!r}; expected one of: {', '.join(FINETUNE_PRESETS)}")
    if layout not in LAYOUTS:
        raise BadInput(f"unknown layout {layout!r}; expected one of: {', '.join(LAYOUTS)}, or a file with --settings")
    plan = DriverPlan(finetune=FINETUNE_PRESETS[preset]).model_dump(mode="json")  # type: ignore[index]
    plan["extract"] |= {"layout": LAYOUTS[layout].model_dump(mode="json"), "num_frames": num_frames}
    if settings:
        plan["extract"] |= _read(settings)
    return changed(validated(DriverPlan, plan), changes)


def _read(settings: Path) -> dict[str, Any]:
    try:
        values = json.loads(settings.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{settings}: no readable JSON ({error}); expected options of the extraction") from error
    if not isinstance(values, dict):
        raise BadInput(f"{settings}: expected a JSON object with options of the extraction, such as layout")
    return values
