"""Driver gaze: extract frames of a drive, fine-tune an estimator on them, compare errors before and after."""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import ConfigFile, Device, Force, Json, Set, file_option, folder_option
from gaze_core.errors import BadInput
from tasks import environment
from tasks.console import print_json, print_line
from tasks.server.own_server import prefect_server

driver_app = typer.Typer(no_args_is_help=True, help=__doc__)
show_app = typer.Typer(no_args_is_help=True, help="Pages in the browser, on this machine only.")
Video = Annotated[Path, typer.Option(help="Video with the driver's face: tiles side by side, or the driver alone.")]
Sensors = Annotated[Path | None, typer.Option(help="The eye tracker's CSV. Without it nothing is labelled.")]
Road = Annotated[Path | None, typer.Option(help="Video of the road, if it is a file of its own.")]
Layout = Annotated[str, typer.Option(help="Layout of the views in the video: whole or dashgaze.")]
Settings = Annotated[
    Path | None, typer.Option(help="JSON file with further options of the extraction, such as layout.")
]
Frames = Annotated[int, typer.Option(min=1, help="Evenly spaced frames to take.")]


@driver_app.command()
def extract(
    video: Video,
    sensors: Sensors = None,
    road: Road = None,
    layout: Layout = "whole",
    settings: Settings = None,
    frames: Frames = 500,
    legacy: Annotated[Path | None, folder_option("Also write *_driver.jpg, *_road.jpg, *_gt.json here.")] = None,
    overrides: Set = None,
    config: ConfigFile = None,
    force: Force = None,
    out: Annotated[Path, folder_option("Folder for the extracted drive.")] = Path("drive"),
    as_json: Json = False,
) -> None:
    """Extract labelled frames from a drive's video: faces, images of both views, gaze, splits by blocks of time."""
    from flows.cli.drive_folder import require_drive_folder, write_drive_folder
    from gaze_core.config import Runtime
    from gaze_core.driver.legacy import write_legacy
    from gaze_core.driver.record import DriveRecord
    from gaze_core.plans.driver import driver_plan
    from gaze_core.plans.settings import overridden

    plan = overridden(driver_plan("frozen", layout, settings, frames), overrides or (), config)
    if legacy and not sensors:
        raise BadInput("--legacy writes ground truth and needs the eye tracker's CSV; give --sensors")
    files = _files(video, sensors, road)
    require_drive_folder(out, (video, sensors, road, settings))
    with prefect_server() as ready:
        from flows.driver import extract_only

        environment.configure_logging()
        ready()
        ref = extract_only(files, plan.extract, Runtime(progress=not as_json), tuple(force or ()))
    folder = write_drive_folder(ref, out)
    record = DriveRecord.read(folder)
    if legacy:
        write_legacy(folder, legacy)
    if as_json:
        print_json({"out": str(folder), "artifact": ref.model_dump(mode="json"), "requested": record.requested,
                     "kept": len(record.frames), "dropped": record.dropped, "row_faults": record.row_faults,
                     "mount": record.mount and record.mount.model_dump(mode="json"),
                     "warnings": record.warnings})  # fmt: skip
        return
    reasons = "".join(f", {count} {reason}" for reason, count in record.dropped.items())
    print_line(f"kept {len(record.frames)} of {record.requested} frames{reasons}")
    if record.mount:
        print_line(
            f"eye tracker and eye landmarks differ by {record.mount.residual_median_deg:.1f} deg (median, training blocks)"
        )
    print_line(str(folder))


@driver_app.command()
def pretrain(
    people: Annotated[Path, typer.Option(help="Folder of subject files: rendered, or of a published data set.")],
    out: Annotated[Path, file_option("Weights file to write.")] = Path("driver_base.safetensors"),
    backbone: Annotated[str, typer.Option(help="Name of a timm network.")] = "resnet18",
    image_px: Annotated[int, typer.Option(min=32, help="Side of the network's input image, px.")] = 128,
    steps: Annotated[int, typer.Option(min=1, help="Training steps, of 32 images each.")] = 2000,
    device: Device = "auto",
) -> None:
    """Train the estimator that fine-tuning starts from."""
    from gaze_core.config import Runtime
    from gaze_core.models.estimation.face_estimator import FaceEstimatorConfig
    from gaze_core.stages.driver.pretrain import DriverPretrainConfig

    if not people.is_dir():
        raise BadInput(f"{people}: no such folder; render people with: gazeworks driver people --out {people}")
    if people.resolve() in out.resolve().parents:
        raise BadInput(f"{out}: lies in the folder of people, which is imported as it is; choose another --out")
    config = DriverPretrainConfig(network=FaceEstimatorConfig(backbone=backbone, image_px=image_px))
    config = config.model_copy(update={"fit": config.fit.model_copy(update={"num_steps": steps})})
    from gaze_core.training.checkpoint import WEIGHTS_FILE
    from tasks.store.artifacts import Store

    store = Store.from_environment()
    with prefect_server() as ready:
        from flows.driver import pretrain_only

        environment.configure_logging()
        ready()
        ref = pretrain_only(people.resolve(), config, Runtime(device=device))
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(store.fetch(ref) / WEIGHTS_FILE, out)
    error = store.manifest(ref).metrics["validation_gaze_error_deg"]
    print_line(f"{out}: {error:.2f} deg gaze error on the validation people")


@driver_app.command("people")
def render_people(
    count: Annotated[int, typer.Option(min=3, help="Number of people.")] = 24,
    images: Annotated[int, typer.Option(min=2, help="Images of each person.")] = 40,
    size: Annotated[int, typer.Option(min=32, help="Side of an image, px.")] = 128,
    samples: Annotated[int, typer.Option(min=1, help="Light paths per pixel: fewer are faster and noisier.")] = 16,
    out: Annotated[Path, folder_option("Folder for the subject files.")] = Path("driver_people"),
) -> None:
    """Render people for `pretrain` (needs the extra gazeworks[synthesis]); a second run goes on."""
    from gaze_core.config import Runtime
    from gaze_core.driver.people import driver_people
    from gaze_core.synthesis.factory import synthesize_subject

    for config in driver_people(count, images, size, samples):
        path = out / f"{config.subject}.h5"
        if not path.is_file():
            synthesize_subject(config, path, Runtime(num_workers=os.cpu_count() or 1))
        print_line(str(path))


@driver_app.command()
def synth(
    out: Annotated[Path, folder_option("Folder for video, table and settings.")] = Path("synthetic_drive"),
    pictures: Annotated[int, typer.Option(min=20, help="Rendered images.")] = 900,
    frames_per_picture: Annotated[
        int, typer.Option(min=1, help="Video frames that show each image, at 30 frames a second.")
    ] = 6,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same drive.")] = 0,
    identity: Annotated[int, typer.Option(min=0, help="Seed of the driver's identity.")] = 77,
) -> None:
    """Render a synthetic drive with known gaze (needs gazeworks[synthesis]); a second run goes on with an interrupted one."""
    from gaze_core.driver.drive_files import synthesize_drive
    from gaze_core.driver.drive_plan import DriveConfig
    from gaze_core.driver.shipped_files import SETTINGS_FILE, TABLE_FILE

    config = DriveConfig(num_keys=pictures, frames_per_key=frames_per_picture, seed=seed, identity_seed=identity)

    def advance(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done} of {total} images" + "\n" * (done >= total))

    video = synthesize_drive(config, out, os.cpu_count() or 1, advance)
    print_line(f"gazeworks driver run --video {video} --sensors {out / TABLE_FILE} --settings {out / SETTINGS_FILE}")


@driver_app.command("import-weights")
def import_weights(
    path: Annotated[Path, typer.Argument(help="gaze_tracker_*.pth: a ResNet-18 with a head of two layers.")],
    out: Annotated[Path, file_option("Weights file to write.")] = Path("driver_base.safetensors"),
) -> None:
    """Convert an earlier gaze tracker's weights to safetensors. Nothing but tensors is unpickled."""
    from gaze_core.driver.checkpoints import load_estimator, save_estimator

    if out.resolve() == path.resolve():
        raise BadInput(f"{out}: is the file to import; choose another --out")
    model, card = load_estimator(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_estimator(out, model, card)
    print_line(str(out))


@show_app.command("driver")
def show_driver(
    report: Annotated[Path | None, typer.Option(help="Folder of `gazeworks driver run`.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of `gazeworks driver extract`.")] = None,
    weights: Annotated[list[Path] | None, typer.Option(help="Further estimators to choose from.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 8501,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = False,
) -> None:
    """Driver and road side by side, with predicted and true gaze, before and after fine-tuning."""
    from flows.apps.driver.serve import serve

    serve(report, data, tuple(weights or ()), port, headless)


def _files(video: Path, sensors: Path | None, road: Path | None) -> Any:
    """The input paths, checked to exist. A model file beside the video is found, too."""
    from gaze_core.assets import search_beside
    from gaze_core.plans.driver import DriveFiles

    for path, what in ((video, "a video"), (sensors, "the eye tracker's CSV"), (road, "a video of the road")):
        if path is not None and not path.is_file():
            raise BadInput(f"{path}: no such file; expected {what}")
    search_beside(video)
    return DriveFiles(video=video.resolve(), sensors=sensors and sensors.resolve(), road=road and road.resolve())
