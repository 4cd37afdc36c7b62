"""Every system, one line each: of it are made its command, its form and its run."""

import dis
import importlib
import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.parameters import REQUIRED, RUNTIME
from gaze_core.config import Runtime
from gaze_core.plans.request import Request
from gaze_core.plans.requests.driver import DriverRequest
from gaze_core.plans.requests.redirection import RedirectionRequest


@dataclass(frozen=True)
class System:
    """One system. Places are named as `module:name` and imported when they are needed.

    Attributes:
        name: Of its command: `gazeworks NAME`, or `gazeworks NAME run` if it has a group of commands.
        request: What a user says; the rest follows from it.
        flow: The pipeline. Its parameters are any of plan, out, runtime, force, and fields or properties of the request.
        runtime: Options of `Runtime` that its stages heed, of those in `flows.parameters.RUNTIME`.
        group: Its other commands, a `typer.Typer`.
        defaults: Of the command line, where they are not those of the request; `REQUIRED` for what must be given there.
    """

    name: str
    request: type[Request]
    flow: str
    runtime: tuple[str, ...] = ("device",)
    group: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> str:
        """Where its report goes unless a user says otherwise."""
        return f"reports/{self.name}"

    def pipeline(self) -> Any:
        """The Prefect flow."""
        return imported(self.flow)

    def stages(self) -> tuple[str, ...]:
        """Names of the stages that the pipeline calls, in the order of its code."""
        return stages_of(self.pipeline())

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
    System("redirect", RedirectionRequest, "flows.redirection:redirection", RUNTIME, defaults=_REDIRECT),
    System("driver", DriverRequest, "flows.driver:driver", group="flows.cli.driver:driver_app"),
)


def system(name: str) -> System:
    """The system of this name."""
    return next(one for one in SYSTEMS if one.name == name)


def imported(place: str) -> Any:
    """What a place, `module:name`, names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def stages_of(flow: Any) -> tuple[str, ...]:
    """Names of the stages that a flow calls, itself or by functions of its module, in the order of its code."""
    return tuple(dict.fromkeys(_stages(flow.fn.__code__, flow.fn.__globals__)))


def _stages(code: types.CodeType, known: Mapping[str, Any]) -> Iterator[str]:
    from tasks.stage_task import StageTask

    for instruction in dis.get_instructions(code):
        value = instruction.argval
        if isinstance(value, types.CodeType) and value is not code:  # a comprehension
            yield from _stages(value, known)
        elif instruction.opname == "LOAD_GLOBAL":
            called = known.get(value)
            if isinstance(called, StageTask):
                yield called.name
            elif inspect.isfunction(called) and called.__globals__ is known and called.__code__ is not code:
                yield from _stages(called.__code__, known)
