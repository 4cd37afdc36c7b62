"""What can be known before the first stage is checked before the first stage, for every system."""

from collections.abc import Mapping
from pathlib import Path

from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.outputs import output_folder


class Plan(Config):
    """All that decides the result of a system's run: one configuration for each stage."""

    def require_ready(self, inputs: Mapping[str, Path]) -> None:
        """Raises whatever a stage would raise later for these inputs, by name, as far as it can be known without work."""


def preflight(plan: Plan, inputs: Mapping[str, Path | None], out: Path, runtime: Runtime) -> None:
    """Called once by a flow, before anything is imported or computed.

    Raises:
        BadInput: nothing can be written to `out`, the device is not there, or the plan is not ready for the inputs.
    """
    from gaze_core.reproducibility import choose_device  # torch, which a plan of small parts can do without

    output_folder(out)
    choose_device(runtime)
    try:
        plan.require_ready({name: path for name, path in inputs.items() if path is not None})
    except (MissingArtifact, ContractViolation) as error:
        raise BadInput(str(error)) from error
