"""`gazeworks invert`: adapt a trained model to an unseen person."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.options import Device, Record, folder_option
from tasks.console import print_line
from tasks.measurements import record_values


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(invert)


def invert(
    checkpoint: Annotated[Path, typer.Option(help="Folder of a report, or of a trained GazeGaussian.")],
    recording: Annotated[
        Path, typer.Option("--input", help="A photograph, a folder of them, a video, a subject file.")
    ],
    images: Annotated[int, typer.Option(min=1, help="Number of images to adapt to.")] = 1,
    mode: Annotated[
        Literal["codes", "full"], typer.Option(help="codes: fit the codes alone. full: then fine-tune the weights.")
    ] = "full",
    gaze: Annotated[str | None, typer.Option(help='"pitch,yaw;pitch,yaw" in degrees, head frame.')] = None,
    out: Annotated[Path, folder_option("Folder for the adapted model and its images.")] = Path("inverted"),
    device: Device = "auto",
    record: Record = None,
) -> None:
    """Adapt a trained model to an unseen person from one or a few images, and render that person."""
    from flows.angles import parse_angles
    from flows.inversion import InversionPlan, inversion
    from flows.references import checkpoint_ref
    from flows.sampling import render_samples
    from gaze_core.assets import search_beside
    from gaze_core.config import Runtime
    from gaze_core.data.subjects import is_subject_file
    from gaze_core.stages.redirection.invert import InvertConfig
    from gaze_core.stages.redirection.preprocess import PreprocessConfig
    from tasks import environment
    from tasks.server.own_server import prefect_server
    from tasks.store.recordings import require_recording

    overrides = {"gazes_deg": parse_angles(gaze, "--gaze")} if gaze else {}
    search_beside(recording)
    source: Literal["synthetic", "video"] = "synthetic" if is_subject_file(recording) else "video"
    require_recording(recording, source)
    plan = InversionPlan(
        preprocess=PreprocessConfig(source=source, keep_back=False), invert=InvertConfig(num_images=images, mode=mode)
    )
    runtime = Runtime(device=device)
    with prefect_server() as ready:
        environment.configure_logging()
        ready()
        result = inversion(checkpoint_ref(checkpoint), recording.resolve(), plan, runtime)
    if record:
        record_values(record, f"inversion, {mode}, images: {images}", result.numbers, plan)
    sheet = render_samples(result.model, result.person, overrides, out, runtime)
    shutil.copytree(result.model, out / "model", dirs_exist_ok=True)
    for name, value in sorted(result.numbers.items()):
        print_line(f"{name:32} {value:.2f}")
    print_line(f"model: {out / 'model'}\nimages: {sheet}")
