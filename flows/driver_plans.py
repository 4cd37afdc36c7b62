"""From a preset, a layout, a settings file and `--set` to the plan of a driver run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.driver import DriverPlan
from gaze_core.driver.footage import LAYOUTS
from gaze_core.errors import BadInput
from gaze_core.stages.driver_finetune import FINETUNE_PRESETS


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
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise BadInput(f"--set {change!r}: expected KEY=VALUE, for example finetune.epochs=30")
        _set(plan, key, text)
    try:
        return DriverPlan.model_validate(plan)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{where}: {first['msg']} (found {first['input']!r})") from error


def _read(settings: Path) -> dict[str, Any]:
    try:
        values = json.loads(settings.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{settings}: no readable JSON ({error}); expected options of the extraction") from error
    if not isinstance(values, dict):
        raise BadInput(f"{settings}: expected a JSON object with options of the extraction, such as layout")
    return values


def _set(plan: dict[str, Any], key: str, text: str) -> None:
    *parents, last = key.split(".")
    node: Any = plan
    for name in [*parents, last]:
        if not isinstance(node, dict) or name not in node:
            known = ", ".join(node) if isinstance(node, dict) else "nothing below a value"
            raise BadInput(f"--set {key}: unknown key {name!r}; known here: {known}")
        parent, node = node, node[name]
    try:
        parent[last] = json.loads(text)
    except json.JSONDecodeError:
        parent[last] = text
