"""`gazeworks gaze`: where the people in photographs, in a video or before a camera look."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Json, folder_option
from gaze_core.errors import BadInput, GazeworksError, reasons_text
from tasks.console import print_json, print_line

if TYPE_CHECKING:
    from gaze_core.preprocess.gaze_estimators import Estimate, EstimatorName
    from gaze_core.preprocess.gaze_recording import GazeSummary


class _Interrupted(GazeworksError):
    """CTRL-C: rows stay, but there is nothing from which the same command goes on."""

    exit_code = 130


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(gaze)


def gaze(
    source: Annotated[
        str, typer.Option("--input", help="A video, a photograph, a folder of them, or: camera (until CTRL-C).")
    ],
    estimator: Annotated[
        str,
        typer.Option(
            help="landmarks: learned from rendered people. iris: an eyeball model. openvino: needs the extra. Or a "
            "checkpoint of gazeworks driver: its weights file, or its folder."
        ),
    ] = "landmarks",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Clicks on a screen, time_s,x_px,y_px or file,x_px,y_px; or a screen_map.json made from them."
        ),
    ] = None,
    focal_px: Annotated[float | None, typer.Option(help="Focal length of the camera, px.")] = None,
    camera: Annotated[
        Path | None, typer.Option(help="JSON or YAML with intrinsics_px (3 x 3) and, optionally, OpenCV's distortion.")
    ] = None,
    video: Annotated[
        bool, typer.Option("--video/--no-video", help="Draw the gaze into the video or photographs.")
    ] = True,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="How long the camera is read.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=2, help="Threads; the results are the same.")] = 2,
    out: Annotated[Path, folder_option("Folder for gaze.csv, gaze.jsonl and the drawings.")] = Path("gaze"),
    as_json: Json = False,
) -> None:
    """Read where people look: a CSV, JSON lines, and the gaze drawn into the video or the photographs."""
    if focal_px is not None and (camera is not None or not focal_px > 0):
        raise BadInput(
            f"--focal-px {focal_px:g}: expected a number above 0, without --camera, which has one; leave one out"
        )
    from gaze_core.assets import search_beside
    from gaze_core.config import Runtime
    from gaze_core.outputs import require_outside
    from gaze_core.preprocess.camera_model import read_camera
    from gaze_core.preprocess.gaze_recording import GazeOptions, read_gaze
    from gaze_core.preprocess.gaze_source import LiveCamera, open_source
    from tasks import environment
    from tasks.progress import progress_display

    opened = open_source(source, seconds)
    is_live = isinstance(opened, LiveCamera)
    if seconds is not None and not is_live:
        raise BadInput(f"--seconds {seconds:g}: only for --input camera; leave it out")
    if not is_live:
        search_beside(Path(source))
        require_outside(out, Path(source))
    options = GazeOptions(
        _estimator(estimator), read_camera(camera) if camera else None, focal_px, calibrate, video, workers
    )
    environment.configure_logging()
    if is_live and seconds is None:
        print_line("reading the camera; CTRL-C ends")
    logger = logging.getLogger("gazeworks")
    try:
        with progress_display("gaze", Runtime(progress=not as_json and not is_live), logger) as progress:
            summary = read_gaze(opened, out, options, progress)
    except KeyboardInterrupt as stopped:
        raise _Interrupted(f"interrupted; what was read until now: {out / 'gaze.csv.partial'}") from stopped
    if as_json:
        print_json(_facts(summary, estimator, out))
        return
    _report(summary, out)


def _estimator(text: str) -> "EstimatorName | Estimate":
    """One of the names, or a checkpoint.

    Raises:
        BadInput: neither.
    """
    from gaze_core.preprocess.gaze_estimators import NAMES

    if name := next((name for name in NAMES if name == text), None):
        return name
    if not Path(text).exists():
        raise BadInput(
            f"--estimator {text}: expected {', '.join(NAMES)}, or the path of a checkpoint of gazeworks driver"
        )
    from gaze_core.driver.gaze_estimator import face_estimate

    return face_estimate(Path(text))


def _facts(summary: "GazeSummary", estimator: str, out: Path) -> dict[str, object]:
    return {
        "estimator": estimator,
        "pictures": summary.pictures,
        "faces": summary.faces,
        "gazes": summary.gazes,
        "without": dict(summary.without),
        "remarks": summary.remarks,
        "out": str(out),
    }


def _report(summary: "GazeSummary", out: Path) -> None:
    print_line(f"pictures: {summary.pictures}, faces: {summary.faces}, with a gaze: {summary.gazes}")
    if summary.without:
        print_line(f"without a gaze: {reasons_text(summary.without)}")
    for remark in summary.remarks:
        print_line(remark)
    print_line(f"results: {out}")
