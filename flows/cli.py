"""The command `gazeworks`. Heavy libraries are imported by the command that needs them, so that help is instant."""

import gc
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

# Two thread pools that spin while they wait cost each other 20-fold when the machine is shared; OpenMP reads this once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Prefect logs each failed task with its traceback; `main` shows the error itself, once.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

import typer
from rich.console import Console

from flows import evaluation_cli, inversion_cli, search_cli, serving_cli
from flows.data_cli import app as data_app
from flows.driver_cli import register as register_driver
from flows.import_cli import app as import_app
from flows.server_cli import app as server_app
from flows.store_cli import app as store_app
from gaze_core.errors import GazeworksError
from tasks import environment
from tasks.own_server import prefect_server

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(data_app, name="data")
inversion_cli.register(app)
search_cli.register(app)
app.add_typer(import_app, name="import")
evaluation_cli.register(app)
serving_cli.register(app)
app.add_typer(store_app, name="store")
app.add_typer(server_app, name="server")
register_driver(app)
console, errors = Console(), Console(stderr=True)
INTERRUPTED = 130  # typer's exit code after CTRL-C

Json = Annotated[bool, typer.Option("--json", help="Print machine-readable results.")]
Out = Annotated[Path, typer.Option(help="Folder for the report.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change one key: dotted.key=value. May be repeated.")]
Force = Annotated[list[str] | None, typer.Option(help="Compute this stage anew. May be repeated.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")]


@app.command()
def demo(
    out: Out = Path("reports/demo"),
    preset: Annotated[str, typer.Option(help="tiny, small, paper or h200.")] = "small",
    changes: Set = None,
    force: Force = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train on the shipped synthetic subject, compare with the baseline renderer, write a report."""
    from gaze_core.synthesis.packs import pack_path

    _redirect("synthetic", pack_path("synthetic_128"), preset, changes, force, device, out, as_json)


@app.command()
def redirect(
    input_path: Annotated[Path, typer.Option("--input", help="A video, images, or subject files: a file or a folder.")],
    source: Annotated[Literal["synthetic", "video"], typer.Option(help="What the input is.")] = "video",
    preset: Annotated[str, typer.Option(help="tiny, small, paper or h200.")] = "tiny",
    out: Out = Path("reports/redirect"),
    changes: Set = None,
    force: Force = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["32-true", "bf16-mixed"], typer.Option(help="Of the training's arithmetic.")
    ] = "32-true",
    processes: Annotated[int, typer.Option(min=1, help="That share each batch, one for each device.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read pictures.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a gaze redirector on a recording of one person, or on a folder of subject files, and report what it does."""
    how = {"precision": precision, "num_processes": processes, "num_workers": workers}
    _redirect(source, input_path, preset, changes, force, device, out, as_json, how)


@app.command()
def sample(
    checkpoint: Annotated[Path, typer.Option(help="Folder of a report, or of a trained GazeGaussian.")],
    recording: Annotated[Path | None, typer.Option("--input", help="A subject file; else the model's own.")] = None,
    gaze: Annotated[str | None, typer.Option(help='"pitch,yaw;pitch,yaw" in degrees, head frame.')] = None,
    pose: Annotated[str | None, typer.Option(help='"pitch,yaw;pitch,yaw" in degrees, camera frame.')] = None,
    frame: Annotated[int, typer.Option(min=0, help="Which frame gives expression and place.")] = 0,
    out: Out = Path("samples"),
    device: Device = "auto",
) -> None:
    """Draw a trained head looking where you ask: pictures, a contact sheet and a film."""
    from flows.sampling import draw_samples, parse_angles
    from gaze_core.config import Runtime

    asked = {"gazes_deg": gaze and parse_angles(gaze, "--gaze"), "poses_deg": pose and parse_angles(pose, "--pose")}
    changes = {"frame": frame} | {name: value for name, value in asked.items() if value}
    console.print(str(draw_samples(checkpoint, recording, changes, out, Runtime(device=device))), soft_wrap=True)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, what is missing and how to get it."""
    from flows.doctor import examine

    findings = examine()
    if as_json:
        _print_json([finding.model_dump() for finding in findings])
        return
    for finding in findings:
        mark = "[green]ok[/]     " if finding.ok else "[yellow]missing[/]"
        console.print(f"{mark} {finding.name}: {finding.detail}", highlight=False, soft_wrap=True)


@app.command()
def synth(
    subjects: Annotated[int, typer.Option(min=1, help="How many people.")] = 1,
    images: Annotated[int, typer.Option(min=2, help="Images of each.")] = 200,
    size: Annotated[int, typer.Option(min=32, help="Side of an image, px.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same files.")] = 0,
    rig: Annotated[str, typer.Option(help="Cameras: frontal, compact, dome or eth_xgaze (18).")] = "compact",
    light: Annotated[list[str] | None, typer.Option(help="studio, window, office or flash; may be repeated.")] = None,
    out: Out = Path("subjects"),
) -> None:
    """Render synthetic subjects with exact labels (needs the extra gazeworks[synthesis])."""
    with prefect_server() as ready:
        from flows.synthesis import subject_files

        ready()
        files = subject_files(subjects, images, size, seed, out, rig, tuple(light or ("studio",)))  # type: ignore[arg-type]
    for path in files:
        console.print(str(path), soft_wrap=True)


@app.command()
def bench(
    what: Annotated[Literal["splat", "data"], typer.Argument(help="Which benchmark.")],
    as_json: Json = False,
) -> None:
    """Time a part of Gazeworks against its reference on this machine."""
    benchmark = importlib.import_module(
        {"splat": "gaze_core.splat.benchmark", "data": "gaze_core.data.benchmark"}[what]
    )
    result = benchmark.run(report=lambda line: None if as_json else console.print(line, highlight=False))
    _print_json(result) if as_json else console.print(benchmark.table(result), highlight=False)


def _redirect(
    source: Literal["synthetic", "video"], recording: Path, preset: str, changes: list[str] | None,
    force: list[str] | None, device: Any, out: Path, as_json: bool, how: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    from gaze_core.config import Runtime
    from gaze_core.presets import redirection_plan
    from tasks.recordings import require_recording

    require_recording(recording)
    # A model file that lies beside the recording (its checksum is verified) need not be pointed at.
    os.environ["GAZEWORKS_ASSETS"] = os.pathsep.join([os.environ.get("GAZEWORKS_ASSETS", ""), str(recording.parent)])
    plan = redirection_plan(preset, source, changes or ())
    with prefect_server() as ready:
        from flows.redirection import redirection

        environment.configure_logging()
        runtime = Runtime(device=device, progress=not as_json, **(how or {}))
        ready()
        result = redirection(recording.resolve(), plan, out.resolve(), runtime, preset, tuple(force or ()))
    if as_json:
        _print_json(result.model_dump(mode="json"))
        return
    for name in ("gaze_error_deg", "identity_copy_gaze_error_deg", "psnr_db"):
        value = result.numbers.get(name)
        console.print(f"{name:32} {'n/a' if value is None else f'{value:.2f}'}", highlight=False)
    console.print(f"verdict against the baseline     {result.verdict}", highlight=False)
    console.print(f"report: {result.report}", highlight=False, soft_wrap=True)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and exit code 2, CTRL-C one line and 130; never a traceback."""
    try:
        app()
    except GazeworksError as error:
        errors.print(f"gazeworks: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            errors.print("gazeworks: interrupted; the same command goes on from the last checkpoint", highlight=False)
        raise
    finally:
        gc.freeze()  # or the interpreter would look through every object of torch and Prefect before it ends, for 2 s
