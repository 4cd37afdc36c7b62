"""The command `gazeworks`. Heavy libraries are imported by the command that needs them, so that help is instant."""

import gc
import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NoReturn

# Two thread pools that spin while they wait cost each other 20-fold when the machine is shared; OpenMP reads this once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Prefect logs each failed task with its traceback; `main` shows the error itself, once.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

import typer
from rich.text import Text

from flows.cli import evaluation as evaluation_cli
from flows.cli import gaze as gaze_cli
from flows.cli import inversion as inversion_cli
from flows.cli import look as look_cli
from flows.cli import search as search_cli
from flows.cli import serving as serving_cli
from flows.cli import studio as studio_cli
from flows.cli.data import app as data_app
from flows.cli.driver import driver_app, show_app
from flows.cli.estimate import estimate_app
from flows.cli.imports import app as import_app
from flows.cli.options import Device, Json, Record, folder_option
from flows.cli.running import register, run_command
from flows.cli.server import app as server_app
from flows.cli.store import app as store_app
from flows.systems import SYSTEMS, system
from gaze_core.errors import BadInput, GazeworksError
from gaze_core.plans.requests.driver import DriverDemoRequest
from tasks import environment
from tasks.console import plain_console, print_json, print_line, print_table
from tasks.measurements import record_values
from tasks.server.own_server import prefect_server

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # or help and mistakes lose what stands in brackets: gazeworks[gpu]
    help=__doc__,
)
_DEMO = "Train on the shipped synthetic subject, compare with the baseline renderer, write a report."
_FIXED = ("recording", "source", "precision", "processes", "workers")
app.command("demo")(run_command(replace(system("redirect"), name="demo", defaults={}), _FIXED, _DEMO))
for one in SYSTEMS:
    register(app, one)
_ESTIMATE_DEMO = "Train on the recordings of rendered people that ship with the package, and write a report."
_ESTIMATE_FIXED = ("data", "camera", "time", "precision", "processes", "workers")
estimate_app.command("demo")(
    run_command(
        replace(system("estimate"), name="estimate_demo", defaults={"preset": "demo"}), _ESTIMATE_FIXED, _ESTIMATE_DEMO
    )
)
_DRIVER_DEMO = replace(system("driver"), name="driver_demo", request=DriverDemoRequest)
_DRIVER_FIXED = ("video", "sensors", "settings", "road", "layout", "weights")
driver_app.command("demo")(run_command(_DRIVER_DEMO, _DRIVER_FIXED))
app.add_typer(data_app, name="data")
inversion_cli.register(app)
look_cli.register(app)
search_cli.register(app)
app.add_typer(import_app, name="import")
evaluation_cli.register(app)
gaze_cli.register(app)
serving_cli.register(app)
studio_cli.register(app)
app.add_typer(store_app, name="store")
app.add_typer(server_app, name="server")
app.add_typer(show_app, name="app")
INTERRUPTED = 130  # typer's exit code after CTRL-C


@app.command()
def sample(
    checkpoint: Annotated[Path, typer.Option(help="Folder of a report, or of a trained GazeGaussian.")],
    recording: Annotated[Path | None, typer.Option("--input", help="A subject file; else the model's own.")] = None,
    gaze: Annotated[str | None, typer.Option(help='"pitch,yaw;pitch,yaw" in degrees, head frame.')] = None,
    pose: Annotated[str | None, typer.Option(help='"pitch,yaw;pitch,yaw" in degrees, camera frame.')] = None,
    frame: Annotated[int, typer.Option(min=0, help="Frame that gives expression and head position.")] = 0,
    out: Annotated[Path, folder_option("Folder for the images.")] = Path("samples"),
    device: Device = "auto",
) -> None:
    """Render a trained head with the target gazes: images, a contact sheet and a video."""
    from flows.angles import parse_angles
    from flows.sampling import render_samples
    from gaze_core.config import Runtime

    given = {"gazes_deg": gaze and parse_angles(gaze, "--gaze"), "poses_deg": pose and parse_angles(pose, "--pose")}
    overrides = {"frame": frame} | {name: value for name, value in given.items() if value}
    print_line(str(render_samples(checkpoint, recording, overrides, out, Runtime(device=device))))


@app.command()
def doctor(as_json: Json = False) -> None:
    """List what this machine has, what is missing and how to get it."""
    from flows.cli.doctor import examine

    findings = examine()
    if as_json:
        print_json([finding.model_dump() for finding in findings])
        return
    for finding in findings:
        mark = Text("ok     ", "green") if finding.ok else Text("missing", "yellow")
        print_line(mark + Text(f" {finding.name}: {finding.detail}"))


@app.command()
def synth(
    subjects: Annotated[int, typer.Option(min=1, help="Number of people.")] = 1,
    images: Annotated[int, typer.Option(min=2, help="Images of each person.")] = 200,
    size: Annotated[int, typer.Option(min=32, help="Side of an image, px.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 0,
    rig: Annotated[str, typer.Option(help="Cameras: frontal, compact, dome or eth_xgaze (18).")] = "compact",
    light: Annotated[list[str] | None, typer.Option(help="studio, window, office or flash; may be repeated.")] = None,
    out: Annotated[Path, folder_option("Folder for the subject files.")] = Path("subjects"),
) -> None:
    """Render synthetic subjects with exact labels (needs the extra gazeworks[synthesis])."""
    from gaze_core.synthesis.people import subject_configs

    configs = subject_configs(subjects, images, size, seed, rig, tuple(light or ("studio",)))
    with prefect_server() as ready:
        from flows.synthesis import subject_files

        ready()
        files = subject_files(configs, out)
    for path in files:
        print_line(str(path))


@app.command()
def bench(
    what: Annotated[Literal["splat", "data"], typer.Argument(help="Which benchmark.")],
    as_json: Json = False,
    record: Record = None,
) -> None:
    """Time a part of Gazeworks against its reference on this machine."""
    benchmark = importlib.import_module(
        {"splat": "gaze_core.splat.benchmark", "data": "gaze_core.data.benchmark"}[what]
    )
    result = benchmark.run(report=lambda line: None if as_json else print_line(line))
    if record:
        record_values(record, f"benchmark: {what}", result)
    print_json(result) if as_json else print_table(benchmark.table(result))


def main() -> None:
    """Entry point: a user's mistake, CTRL-C or a system error is one line on stderr and an exit code, no traceback."""
    try:
        _require_unicode(*sys.argv[1:], str(environment.home()))
        app()
    except GazeworksError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(_in_words(error), BadInput.exit_code if error.filename else GazeworksError.exit_code)
    except UnicodeError as error:
        _fail(f"a name or a text is not UTF-8: {error}", BadInput.exit_code)
    except _opencv_errors() as error:
        _fail(f"OpenCV: {' '.join(str(error).split())}", BadInput.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _print_error("interrupted; the same command goes on from the last checkpoint")
        raise
    finally:
        gc.freeze()  # or the interpreter would look through every object of torch and Prefect before it ends, for 2 s


def _require_unicode(*texts: str) -> None:
    """Databases, JSON and terminals take Unicode only, and would fail after the work is done."""
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise BadInput(f"{text!r}: expected a name in UTF-8; rename it, or move what it names")


def _opencv_errors() -> tuple[type[Exception], ...]:
    """OpenCV's error, if OpenCV has been imported."""
    cv2 = sys.modules.get("cv2")
    return (cv2.error,) if cv2 else ()


def _in_words(error: OSError) -> str:
    if error.strerror is None:  # a library's own words
        return " ".join(str(error).split()) or type(error).__name__
    names = " -> ".join(
        os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
    )
    return f"{names}: {error.strerror.lower()}" if names else error.strerror.lower()


def _fail(text: str, exit_code: int) -> NoReturn:
    _print_error(text)
    sys.exit(exit_code)


def _print_error(text: str) -> None:
    plain_console(stderr=True).print(f"gazeworks: {text}", soft_wrap=True)
