"""The command `gazeworks`. Heavy libraries are imported by the command that needs them, so that help is instant."""

import gc
import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

# Two thread pools that spin while they wait cost each other 20-fold when the machine is shared; OpenMP reads this once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Prefect logs each failed task with its traceback; `main` shows the error itself, once.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

import typer
from rich.text import Text

from flows.cli import evaluation as evaluation_cli
from flows.cli import inversion as inversion_cli
from flows.cli import search as search_cli
from flows.cli import serving as serving_cli
from flows.cli.data import app as data_app
from flows.cli.driver import register as register_driver
from flows.cli.imports import app as import_app
from flows.cli.options import Device, Force, Json, ReportFolder, Set, folder_option
from flows.cli.server import app as server_app
from flows.cli.store import app as store_app
from gaze_core.errors import BadInput, GazeworksError
from tasks import environment
from tasks.console import plain_console, say, say_json, say_table
from tasks.server.own_server import prefect_server

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # or help and mistakes lose what stands in brackets: gazeworks[gpu]
    help=__doc__,
)
app.add_typer(data_app, name="data")
inversion_cli.register(app)
search_cli.register(app)
app.add_typer(import_app, name="import")
evaluation_cli.register(app)
serving_cli.register(app)
app.add_typer(store_app, name="store")
app.add_typer(server_app, name="server")
register_driver(app)
INTERRUPTED = 130  # typer's exit code after CTRL-C


@app.command()
def demo(
    out: ReportFolder = Path("reports/demo"),
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
    out: ReportFolder = Path("reports/redirect"),
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
    out: Annotated[Path, folder_option("Folder for the pictures.")] = Path("samples"),
    device: Device = "auto",
) -> None:
    """Draw a trained head looking where you ask: pictures, a contact sheet and a film."""
    from flows.sampling import draw_samples, parse_angles
    from gaze_core.config import Runtime

    asked = {"gazes_deg": gaze and parse_angles(gaze, "--gaze"), "poses_deg": pose and parse_angles(pose, "--pose")}
    changes = {"frame": frame} | {name: value for name, value in asked.items() if value}
    say(str(draw_samples(checkpoint, recording, changes, out, Runtime(device=device))))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, what is missing and how to get it."""
    from flows.cli.doctor import examine

    findings = examine()
    if as_json:
        say_json([finding.model_dump() for finding in findings])
        return
    for finding in findings:
        mark = Text("ok     ", "green") if finding.ok else Text("missing", "yellow")
        say(mark + Text(f" {finding.name}: {finding.detail}"))


@app.command()
def synth(
    subjects: Annotated[int, typer.Option(min=1, help="How many people.")] = 1,
    images: Annotated[int, typer.Option(min=2, help="Images of each.")] = 200,
    size: Annotated[int, typer.Option(min=32, help="Side of an image, px.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same files.")] = 0,
    rig: Annotated[str, typer.Option(help="Cameras: frontal, compact, dome or eth_xgaze (18).")] = "compact",
    light: Annotated[list[str] | None, typer.Option(help="studio, window, office or flash; may be repeated.")] = None,
    out: Annotated[Path, folder_option("Folder for the subject files.")] = Path("subjects"),
) -> None:
    """Render synthetic subjects with exact labels (needs the extra gazeworks[synthesis])."""
    with prefect_server() as ready:
        from flows.synthesis import subject_files

        ready()
        files = subject_files(subjects, images, size, seed, out, rig, tuple(light or ("studio",)))  # type: ignore[arg-type]
    for path in files:
        say(str(path))


@app.command()
def bench(
    what: Annotated[Literal["splat", "data"], typer.Argument(help="Which benchmark.")],
    as_json: Json = False,
) -> None:
    """Time a part of Gazeworks against its reference on this machine."""
    benchmark = importlib.import_module(
        {"splat": "gaze_core.splat.benchmark", "data": "gaze_core.data.benchmark"}[what]
    )
    result = benchmark.run(report=lambda line: None if as_json else say(line))
    say_json(result) if as_json else say_table(benchmark.table(result))


def _redirect(
    source: Literal["synthetic", "video"], recording: Path, preset: str, changes: list[str] | None,
    force: list[str] | None, device: Any, out: Path, as_json: bool, how: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    from gaze_core.assets import look_beside
    from gaze_core.config import Runtime
    from gaze_core.plans.redirection import redirection_plan
    from tasks.store.recordings import require_recording

    require_recording(recording, source)
    # A model file that lies beside the recording (its checksum is verified) need not be pointed at.
    look_beside(recording)
    plan = redirection_plan(preset, source, changes or ())
    with prefect_server() as ready:
        from flows.redirection import redirection

        environment.configure_logging()
        runtime = Runtime(device=device, progress=not as_json, **(how or {}))
        ready()
        result = redirection(recording.resolve(), plan, out.resolve(), runtime, preset, tuple(force or ()))
    if as_json:
        say_json(result.model_dump(mode="json"))
        return
    for name in ("gaze_error_deg", "identity_copy_gaze_error_deg", "psnr_db"):
        value = result.numbers.get(name)
        say(f"{name:32} {'n/a' if value is None else f'{value:.2f}'}")
    say(f"verdict against the baseline     {result.verdict}")
    say(f"report: {result.report}")


def main() -> None:
    """Entry point: a mistake, CTRL-C, or what the system refuses, is one line on stderr and an exit code, no traceback."""
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
            _say_error("interrupted; the same command goes on from the last checkpoint")
        raise
    finally:
        gc.freeze()  # or the interpreter would look through every object of torch and Prefect before it ends, for 2 s


def _require_unicode(*texts: str) -> None:
    """Databases, JSON and terminals take nothing else, and would say so when the work is done."""
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise BadInput(f"{text!r}: expected a name in UTF-8; rename it, or move what it names")


def _opencv_errors() -> tuple[type[Exception], ...]:
    cv2 = sys.modules.get("cv2")  # a command that has not loaded it has none
    return () if cv2 is None else (cv2.error,)


def _in_words(error: OSError) -> str:
    if error.strerror is None:  # a library's own words
        return " ".join(str(error).split()) or type(error).__name__
    names = " -> ".join(
        os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
    )
    return f"{names}: {error.strerror.lower()}" if names else error.strerror.lower()


def _fail(text: str, exit_code: int) -> NoReturn:
    _say_error(text)
    sys.exit(exit_code)


def _say_error(text: str) -> None:
    plain_console(stderr=True).print(f"gazeworks: {text}", soft_wrap=True)
