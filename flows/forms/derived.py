"""A deployment's form, made from a declaration: plain values, and paths below the worker's permitted folders."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from prefect import Flow, flow

from flows.parameters import REQUIRED, Parameter, parameters, runtime_of, runtime_parameters
from flows.systems import System
from gaze_core.config import Config, Runtime
from gaze_core.plans.request import Request
from gaze_core.plans.settings import validated
from tasks.store.permitted_paths import input_path, output_path, require_inputs

Start = Callable[[Any, Path, Runtime, tuple[str, ...]], Any]
_OUT = "Folder of the results, below a folder of the worker's GAZEWORKS_OUTPUTS (or else: reports)."
_BELOW = "Below a folder of the worker's GAZEWORKS_INPUTS."


def system_form(name: str, system: System, **defaults: Any) -> Flow[..., Any]:
    """The form of a system. `defaults` are the form's where the request has none that a form can show."""

    def start(request: Request, out: Path, runtime: Runtime, force: tuple[str, ...]) -> Any:
        require_inputs(request.plan())
        request.require_inputs()
        return system.pipeline().fn(**system.arguments(request, out, runtime, force))

    return form(name, system.request, start, system.out, system.stages, system.runtime, defaults)


def form(
    name: str,
    request: type[Config],
    start: Start,
    out: str,
    stages: tuple[str, ...] = (),
    runtime: tuple[str, ...] = ("device",),
    defaults: Mapping[str, Any] | None = None,
) -> Flow[..., Any]:
    """A flow with the docstring and the fields of `request`, and with `out`, options of the runtime and forced stages.

    An input that is left empty in the form is left out of the request.
    """
    declared = parameters(request)
    inputs = {one.name for one in declared if one.is_path}
    rows = [_row(one, (defaults or {}).get(one.name, one.default)) for one in declared]
    rows += [("out", str, out, _OUT), *(_row(one, one.default) for one in runtime_parameters(runtime))]
    if stages:
        rows.append(("force", list[Literal[stages]], [], "Stages to compute anew although nothing has changed."))  # type: ignore[valid-type]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [inspect.Parameter(row[0], kind, default=row[2], annotation=row[1]) for row in rows]
    )  # fmt: skip

    def run(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = dict(bound.arguments)
        for path in inputs & {name for name, value in values.items() if value}:
            values[path] = input_path(values[path])
        folder, force = output_path(values.pop("out")), tuple(values.pop("force", ()))
        options = validated(Runtime, runtime_of(values, progress=False))
        given = {name: value for name, value in values.items() if name not in inputs or value}
        return start(validated(request, given), folder, options, force)

    run.__name__ = run.__qualname__ = name
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {row[0]: row[1] for row in rows}
    arguments = "\n".join(f"    {row[0]}: {row[3]}" for row in rows)
    run.__doc__ = f"{inspect.getdoc(request)}\n\nArgs:\n{arguments}\n"
    return flow(name=name, persist_result=False)(run)


def _row(one: Parameter, default: Any) -> tuple[str, Any, Any, str]:
    """Name, type, default and description of a field as a form can show it."""
    if one.is_path:
        empty = "" if one.default is REQUIRED else " May be empty."
        return one.name, str, default if isinstance(default, str) else "", f"{one.description} {_BELOW}{empty}"
    kind: Any = list[get_args(one.kind)[0]] if one.is_list else one.kind  # type: ignore[misc]
    if one.constraints:
        kind = Annotated[(kind, *one.constraints)]
    return one.name, kind, list(default) if one.is_list else default, one.description
