"""Checks of a plan and its inputs before the first stage, for every system."""

from collections.abc import Mapping
from pathlib import Path

from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.outputs import output_folder


class Plan(Config):
    """Everything that decides the result of a system's run: one configuration for each stage."""

    def require_ready(self, inputs: Mapping[str, Path]) -> None:
        """Raises what a stage would raise later for these inputs (by name), as far as cheap checks can find it."""


def preflight(plan: Plan, inputs: Mapping[str, Path | None], out: Path, runtime: Runtime) -> None:
    """Checks everything that is cheap to check; a flow calls it once, before it imports or computes anything.

    Raises:
        BadInput: `out` is not writable, the device is not available, or the plan does not fit the inputs.
    """
    from gaze_core.reproducibility import choose_device  # imports torch, which plans need not import

    output_folder(out)
    choose_device(runtime)
    try:
        plan.require_ready({name: path for name, path in inputs.items() if path is not None})
    except (MissingArtifact, ContractViolation) as error:
        raise BadInput(str(error)) from error
