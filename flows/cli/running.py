"""The command that runs a system. Its options and its help are made from the system's request."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import Force, Json, Record, ReportFolder
from flows.parameters import REQUIRED, Parameter, parameters, runtime_of, runtime_parameters
from flows.systems import System, imported
from gaze_core.assets import search_beside
from gaze_core.config import Runtime
from gaze_core.plans.request import Request
from gaze_core.plans.settings import validated
from tasks import environment
from tasks.console import print_json, print_line, print_report
from tasks.measurements import record_report
from tasks.server.own_server import prefect_server


@dataclass(frozen=True)
class OutputOptions:
    """Output besides the report: JSON on standard output, a record of the measurement."""

    as_json: bool
    record: Path | None


def register(app: typer.Typer, system: System) -> None:
    """Adds `NAME`, or the system's group with `NAME run` (or the name that it has there), to the command line."""
    if not system.group:
        app.command(system.name)(run_command(system))
        return
    group: typer.Typer = imported(system.group)
    group.command(system.command)(run_command(system))
    app.add_typer(group, name=system.name)


def run_command(system: System, without: tuple[str, ...] = (), help: str | None = None) -> Callable[..., None]:
    """The function that typer turns into a command.

    Args:
        system: whose command it is.
        without: fields of the request, or options of the runtime, that the command does not offer.
        help: of the command; default: the docstring of the request.
    """

    def run(**values: Any) -> None:
        out, force, output = (
            values.pop("out"),
            values.pop("force"),
            OutputOptions(values.pop("as_json"), values.pop("record")),
        )
        runtime = validated(Runtime, runtime_of(values, progress=not output.as_json))
        given = {name: value for name, value in values.items() if value is not None}
        _run(system, validated(system.request, given), out, runtime, tuple(force or ()), output)

    declared = [one for one in parameters(system.request) if one.name not in without]
    rows = [(one.name, *_option(one, system.defaults.get(one.name, one.default))) for one in declared]
    rows += [("force", Force, None), ("out", ReportFolder, Path(system.out))]
    rows += [(p.name, *_option(p, p.default)) for p in runtime_parameters(system.runtime) if p.name not in without]
    rows += [("as_json", Json, False), ("record", Record, None)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = [inspect.Parameter(name, keyword, default=default, annotation=kind) for name, kind, default in rows]
    run.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    run.__annotations__ = {name: kind for name, kind, _ in rows}
    run.__doc__ = help or inspect.getdoc(system.request)
    return run


def _run(
    system: System, request: Request, out: Path, runtime: Runtime, force: tuple[str, ...], output: OutputOptions
) -> None:
    request.require_inputs()
    for recording in list(request.recordings.values())[:1]:
        search_beside(recording)
    plan = request.plan()  # reports a mistake before a server starts
    paths = {name: path.resolve() for name, path in request.inputs.items()}
    with prefect_server() as ready:
        arguments = system.arguments(request.model_copy(update=paths), out.resolve(), runtime, force)
        environment.configure_logging()
        ready()
        result = system.pipeline()(**arguments)
    if output.record:
        what = ", ".join([system.name, *(path.name for path in request.recordings.values())])
        record_report(output.record, what, result.report, plan)
    show_result(result, output.as_json)


def show_result(result: Any, as_json: bool) -> None:
    """Prints the result of a run: as JSON, or its main lines, warnings, and where the report is."""
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    for line in result.headline():
        print_line(line)
    for warning in result.warnings:
        print_line(f"warning: {warning}")
    print_report(result.report, result.faults, result.checkpoints, result.remarks)


def _option(parameter: Parameter, default: Any) -> tuple[Any, Any]:
    """Annotation and default of an option."""
    help = f"{parameter.description}"
    if parameter.kind is bool:
        flags = f"{parameter.flag}/--no-{parameter.flag.removeprefix('--')}"
        return Annotated[bool, typer.Option(flags, help=help)], default
    if parameter.is_list:
        return Annotated[list[str] | None, typer.Option(parameter.flag, help=help)], None
    kind = str if parameter.choices else parameter.kind
    metavar = f"[{'|'.join(parameter.choices)}]" if parameter.choices else None
    minimum = parameter.minimum if kind is int else None
    option = typer.Option(parameter.flag, help=help, metavar=metavar, min=minimum)
    if default is REQUIRED:
        return Annotated[kind, option], REQUIRED
    return Annotated[kind if default is not None else kind | None, option], default
