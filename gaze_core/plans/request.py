"""Inputs and choices of a run: one declaration, from which the command line and the form of a deployment are made.

    class ToyRequest(Request):
        '''Count the files of a recording.'''

        recording: Path = Field(description="A folder.")
        preset: Literal["small", "large"] = Field("small", description="How far to count.")

        def base_plan(self) -> ToyPlan:
            return PRESETS[self.preset]

Each field is an option of the command and a parameter of the form, with its type, bounds, default and description. A field
that is a `Path` is an input: it must be there, and a form's must lie below the worker's roots. Modules with requests import
no torch, so that a command's help is instant.
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
    """How the command line calls a field, where that is not the field's own name."""

    name: str


class Request(Config):
    """Inputs and choices of a run of one system; the docstring of the subclass is the help of its command."""

    changes: Annotated[tuple[str, ...], Flag("--set")] = Field(
        (), description="Changed settings, one an entry: dotted.key=value. May be repeated."
    )
    config: Path | None = Field(None, description="YAML or JSON file with changed settings of the plan; --set wins.")

    @abstractmethod
    def base_plan(self) -> "Plan":
        """The plan of the choices, without the changes of the user."""

    def plan(self) -> Any:
        """The plan of the run, of the system's own type: preset, then the settings file, then single changes.

        Raises:
            BadInput: an unknown name, key or value; the message lists what is known.
        """
        return overridden(self.base_plan(), self.changes, self.config)

    @property
    def inputs(self) -> Mapping[str, Path]:
        """Files and folders that the run reads, by the names of their fields."""
        return {name: value for name, value in dict(self).items() if isinstance(value, Path)}

    @property
    def recordings(self) -> Mapping[str, Path]:
        """The inputs without the settings file that every request may name."""
        return {name: path for name, path in self.inputs.items() if name not in Request.model_fields}

    def require_inputs(self) -> None:
        """Raises BadInput for an input that is not there, or an empty folder."""
        for name, path in self.inputs.items():
            first, _, rest = (type(self).model_fields[name].description or name).rstrip(".").partition(" ")
            expected = f"expected {first if first.isupper() and len(first) > 1 else first.lower()} {rest}"
            if not path.exists():
                raise BadInput(f"{path}: no such file or folder; {expected}")
            if path.is_dir() and not any(path.iterdir()):
                raise BadInput(f"{path}: the folder is empty; {expected}")
