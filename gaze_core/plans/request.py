"""Inputs and options of a run: one declaration defines the command line and the form of a deployment.

    class ToyRequest(Request):
        '''Count the files of a recording.'''

        recording: Path = Field(description="A folder.")
        preset: Literal["small", "large"] = Field("small", description="How far to count.")

        def base_plan(self) -> ToyPlan:
            return PRESETS[self.preset]

Each field is an option of the command and a parameter of the form, with its type, bounds, default and description. A `Path`
field is an input: it must exist, and in a form it must lie below the worker's roots. Modules with requests do not import
torch, so a command's help is instant.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.plans.settings import overridden

if TYPE_CHECKING:
    from gaze_core.plans.preflight import Plan


@dataclass(frozen=True)
class Flag:
    """Name of a field's command line option, if it is not the field's name."""

    name: str


class Request(Config):
    """Inputs and options of a run of one system; the docstring of a subclass is the help text of its command."""

    changes: Annotated[tuple[str, ...], Flag("--set")] = Field(
        (), description="Override of a setting: dotted.key=value. May be repeated."
    )
    config: Path | None = Field(
        None, description="YAML or JSON file with settings that override the plan's; --set wins."
    )

    @abstractmethod
    def base_plan(self) -> "Plan":
        """The plan of the options, without the user's overrides."""

    def plan(self) -> Any:
        """The plan of the run, of the system's own type: preset, then the settings file, then single overrides.

        Raises:
            BadInput: an unknown name, key or value; the message lists the known ones.
        """
        return overridden(self.base_plan(), self.changes, self.config)

    @property
    def inputs(self) -> Mapping[str, Path]:
        """The input files and folders, by field name."""
        return {name: value for name, value in dict(self).items() if isinstance(value, Path)}

    @property
    def recordings(self) -> Mapping[str, Path]:
        """The inputs without the settings file, which every request may have."""
        return {name: path for name, path in self.inputs.items() if name not in Request.model_fields}

    def require_inputs(self) -> None:
        """Raises BadInput for an input that does not exist, or an empty folder."""
        for name, path in self.inputs.items():
            first, _, rest = (type(self).model_fields[name].description or name).rstrip(".").partition(" ")
            expected = f"expected {first if first.isupper() and len(first) > 1 else first.lower()} {rest}"
            if not path.exists():
                raise BadInput(f"{path}: no such file or folder; {expected}")
            if path.is_dir() and not any(path.iterdir()):
                raise BadInput(f"{path}: the folder is empty; {expected}")
