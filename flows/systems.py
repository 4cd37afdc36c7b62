"""Every system, one line each. Its command, its form and its run are made from that line."""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.parameters import REQUIRED, RUNTIME
from gaze_core.config import Runtime
from gaze_core.plans.request import Request
from gaze_core.plans.requests.driver import DriverRequest
from gaze_core.plans.requests.estimation import EstimationRequest
from gaze_core.plans.requests.one_shot import OneShotRequest
from gaze_core.plans.requests.redirection import RedirectionRequest
from gaze_core.plans.requests.talker import TalkerRequest


@dataclass(frozen=True)
class System:
    """One system. Places are named as `module:name` and imported when they are needed.

    Attributes:
        name: Of its command: `gazeworks NAME`, or `gazeworks NAME run` if it has a group of commands.
        request: The typed request that a user makes; plan, options and form are made from it.
        flow: The pipeline. Its parameters are any of plan, out, runtime, force, and fields or properties of the request.
        stages: Names of the stages that the pipeline calls; `--force` computes any of them anew.
        runtime: Options of `Runtime` that its stages use, of those in `flows.parameters.RUNTIME`.
        group: Its other commands, a `typer.Typer`.
        command: What the command that runs it is called in the group.
        defaults: Of the command line, where they are not those of the request; `REQUIRED` for what must be given there.
    """

    name: str
    request: type[Request]
    flow: str
    stages: tuple[str, ...]
    runtime: tuple[str, ...] = ("device",)
    group: str = ""
    command: str = "run"
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> str:
        """Default folder of its report."""
        return f"reports/{self.name}"

    def pipeline(self) -> Any:
        """The Prefect flow."""
        return imported(self.flow)

    def arguments(self, request: Request, out: Path, runtime: Runtime, force: tuple[str, ...]) -> dict[str, Any]:
        """The arguments of the pipeline.

        Raises:
            BadInput: the request makes no valid plan.
        """
        given = {"plan": request.plan(), "out": out, "runtime": runtime, "force": force}
        names = inspect.signature(self.pipeline().fn).parameters
        return {name: given[name] if name in given else getattr(request, name) for name in names}


_REDIRECT = {"recording": REQUIRED, "source": "video", "preset": "tiny"}
SYSTEMS: tuple[System, ...] = (
    System(
        "redirect", RedirectionRequest, "flows.redirection:redirection",
        ("preprocess", "head_prior", "invert", "mesh_head", "gaze_gaussian", "evaluate", "compare"), RUNTIME,
        defaults=_REDIRECT,
    ),
    System(
        "driver", DriverRequest, "flows.driver:driver",
        ("driver_extract", "driver_finetune", "driver_evaluate", "driver_compare"), group="flows.cli.driver:driver_app",
    ),
    System(
        "estimate", EstimationRequest, "flows.estimation:estimation",
        ("estimation_convert", "estimation_single", "estimation_features", "estimation_temporal", "estimation_evaluate",
         "estimation_compare"), RUNTIME,
        group="flows.cli.estimate:estimate_app", command="train", defaults={"data": REQUIRED},
    ),
    System(
        "one-shot", OneShotRequest, "flows.one_shot:one_shot",
        ("one_shot_prepare", "one_shot_adapt", "one_shot_evaluate", "one_shot_compare"),
        group="flows.cli.one_shot:one_shot_app",
    ),
    System(
        "talker", TalkerRequest, "flows.talker:talker",
        ("talker_prepare", "talker_coarse", "talker_fine", "talker_render", "talker_evaluate", "talker_compare"), RUNTIME,
        group="flows.cli.talker:talker_app", command="train", defaults={"recording": REQUIRED},
    ),
)  # fmt: skip


def system(name: str) -> System:
    """The system of this name."""
    return next(one for one in SYSTEMS if one.name == name)


def imported(place: str) -> Any:
    """The object at a place, `module:name`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
