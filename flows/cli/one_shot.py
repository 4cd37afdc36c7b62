"""One-shot: adapt a latent redirector to one person of GazeCapture, and use it on a photo or a video."""

import csv
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import ConfigFile, Device, Force, Json, Set, file_option, folder_option
from gaze_core.assets import search_beside
from gaze_core.errors import BadInput
from gaze_core.outputs import require_outside
from tasks import environment
from tasks.console import print_json, print_line
from tasks.server.own_server import prefect_server

one_shot_app = typer.Typer(no_args_is_help=True, help=__doc__)
Data = Annotated[Path, typer.Option(help="A file in GazeCapture's layout: a group for each person, pixels and labels.")]
Order = Annotated[str, typer.Option(help="Channel order of its pictures: auto, rgb or bgr.")]


@one_shot_app.command()
def demo(
    out: Annotated[Path, folder_option("Folder for the report.")] = Path("reports/one-shot-demo"),
    device: Device = "auto",
    force: Force = None,
    as_json: Json = False,
) -> None:
    """Adapt the shipped redirector to a rendered person who ships with the package; needs no other file."""
    from flows.cli.running import OutputOptions, _run
    from flows.systems import system
    from gaze_core.config import Runtime
    from gaze_core.one_shot.shipped import SHIPPED_PEOPLE, SHIPPED_REDIRECTOR
    from gaze_core.plans.requests.one_shot import OneShotRequest

    request = OneShotRequest(data=SHIPPED_PEOPLE, checkpoint=SHIPPED_REDIRECTOR)
    runtime = Runtime(device=device, progress=not as_json)
    _run(system("one-shot"), request, out, runtime, tuple(force or ()), OutputOptions(as_json, None))


@one_shot_app.command()
def pretrain(
    data: Data,
    channel_order: Order = "auto",
    samples: Annotated[int, typer.Option(min=2, help="At most so many samples of each person.")] = 60,
    people: Annotated[int | None, typer.Option(min=1, help="At most so many people.")] = None,
    size: Annotated[str, typer.Option(help="Size of the UNet: tiny or musetalk.")] = "tiny",
    autoencoder: Annotated[
        str, typer.Option(help="small, taef2, sd-vae; auto: taef2 where it is at hand, else small.")
    ] = "auto",
    overrides: Set = None,
    config: ConfigFile = None,
    force: Force = None,
    device: Device = "auto",
    out: Annotated[Path, folder_option("Folder for the checkpoint.")] = Path("one_shot_pretrained"),
) -> None:
    """Train a redirector on many people, so that there is something to adapt."""
    require_outside(out, data)
    with prefect_server() as ready:
        from flows.one_shot import pretrain_only
        from gaze_core.config import Runtime
        from gaze_core.models.one_shot.redirector import SIZES
        from gaze_core.one_shot.autoencoders import AutoencoderSource, preferred_autoencoder
        from gaze_core.plans.settings import lookup, overridden, validated
        from gaze_core.stages.one_shot.pretrain import OneShotPretrainConfig

        source = (
            preferred_autoencoder() if autoencoder == "auto" else validated(AutoencoderSource, {"kind": autoencoder})
        )
        plan = OneShotPretrainConfig(network=lookup("size", size, SIZES), autoencoder=source)
        plan = overridden(plan, overrides or (), config)
        environment.configure_logging()
        ready()
        order = _order(channel_order)
        ref = pretrain_only(data.resolve(), plan, order, samples, people, Runtime(device=device), tuple(force or ()))
    _copy_checkpoint(ref, out)
    print_line(
        f"{out}: {_metrics(ref).get('best_validation', float('nan')):.2f} dB in the eyes of people who were not trained on"
    )


@one_shot_app.command("apply")
def apply_command(
    checkpoint: Annotated[Path, typer.Option(help="Folder of `one-shot run`, or of `one-shot pretrain`.")],
    recording: Annotated[Path, typer.Option("--input", help="A photograph or a video.")],
    gaze: Annotated[
        str,
        typer.Option(
            help='"pitch,yaw" in degrees (0,0 looks into the lens, pitch > 0 is up, yaw > 0 is to the left of the picture), '
            "camera for eye contact, or a CSV with the columns frame, pitch_deg, yaw_deg: a row holds from its frame on."
        ),
    ] = "camera",
    fade_gaze: Annotated[
        tuple[float, float],
        typer.Option(help="Degrees of the wanted gaze in the head at which the change fades, and ends."),
    ] = (25.0, 35.0),
    fade_head: Annotated[
        tuple[float, float],
        typer.Option(help="Degrees of the head from the camera at which the change fades, and ends."),
    ] = (20.0, 32.0),
    filter_share: Annotated[
        float, typer.Option("--filter", min=0, max=0.95, help="Temporal filter of a video: share of the frame before.")
    ] = 0.35,
    force: Force = None,
    device: Device = "auto",
    out: Annotated[Path, folder_option("Folder for the picture or video, and apply.json.")] = Path("one_shot_apply"),
    as_json: Json = False,
) -> None:
    """Redirect the eyes of a photo or a video. Outside the eyes no pixel of a photo changes; sound is kept; closed eyes stay.

    A wanted gaze or a head beyond --fade-gaze and --fade-head fades to no change.
    """
    search_beside(recording)
    require_outside(out, recording)
    with prefect_server() as ready:
        from flows.one_shot import apply_to
        from gaze_core.assets import resolve
        from gaze_core.config import Runtime
        from gaze_core.evaluation.readers import LOOK_READERS, why_not
        from gaze_core.one_shot.painter import FadeConfig, PaintConfig
        from gaze_core.stages.one_shot.apply import RECORD_FILE, ApplyRecord, OneShotApplyConfig
        from tasks.store.artifacts import Store
        from tasks.store.recordings import require_recording

        require_recording(recording, "video")
        resolve("face_landmarker")
        fade = FadeConfig(
            gaze_start_deg=fade_gaze[0],
            gaze_end_deg=fade_gaze[1],
            head_start_deg=fade_head[0],
            head_end_deg=fade_head[1],
        )
        readers = tuple(name for name in LOOK_READERS if not why_not(name))
        plan = OneShotApplyConfig(
            gazes=_gazes(gaze), paint=PaintConfig(fade=fade), keep=filter_share, readers=readers
        )  # fmt: skip
        environment.configure_logging()
        ready()
        ref = apply_to(recording.resolve(), checkpoint.resolve(), plan, Runtime(device=device), tuple(force or ()))
        folder = Store.from_environment().fetch(ref)
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.iterdir()):
        if file.name != "manifest.json":
            shutil.copyfile(file, out / (file.name if file.name == RECORD_FILE else f"{recording.stem}_{file.name}"))
    record = ApplyRecord.model_validate_json((folder / RECORD_FILE).read_text())
    if as_json:
        print_json(record.model_dump(mode="json"))
        return
    _say(record, out)


@one_shot_app.command("people")
def render_people(
    out: Annotated[Path, file_option("File to write, in GazeCapture's layout.")] = Path("GazeCapture_rendered.h5"),
    count: Annotated[int, typer.Option(min=1, help="Number of people.")] = 8,
    heads: Annotated[int, typer.Option(min=1, help="Heads (pose, expression) of each person.")] = 6,
    gazes: Annotated[int, typer.Option(min=2, help="Gazes of each head.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same people.")] = 5001,
) -> None:
    """Render people in GazeCapture's layout (needs the extra gazeworks[synthesis]); about 1 s a picture."""
    from gaze_core.one_shot.layout import write_people
    from gaze_core.one_shot.people import render_person

    people = {}
    for number in range(count):
        people[f"{seed + number:05d}"] = render_person(seed + number, heads, gazes)
        sys.stderr.write(f"\r{number + 1} of {count} people" + "\n" * (number + 1 == count))
    write_people(out, people)
    print_line(str(out))


def _gazes(text: str) -> Any:
    """The gazes of --gaze, by frame.

    Raises:
        BadInput: neither angles, nor `camera`, nor a readable table.
    """
    from flows.angles import parse_angles
    from gaze_core.plans.settings import validated
    from gaze_core.stages.one_shot.apply import GazeAt

    if text == "camera":
        return (GazeAt(),)
    path = Path(text)
    if path.suffix.lower() == ".csv" or path.is_file():
        return _table(path)
    angles = parse_angles(text, "--gaze")
    if len(angles) != 1:
        raise BadInput(f'--gaze {text!r}: expected one "pitch,yaw", camera, or a CSV')
    return (validated(GazeAt, {"pitch_deg": angles[0][0], "yaw_deg": angles[0][1]}),)


def _table(path: Path) -> Any:
    from gaze_core.plans.settings import validated
    from gaze_core.stages.one_shot.apply import GazeAt

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: no readable CSV ({error}); expected columns frame, pitch_deg, yaw_deg") from error
    if not rows or any(set(GazeAt.model_fields) - {name for name in row if name} for row in rows):
        raise BadInput(f"{path}: expected the columns frame, pitch_deg, yaw_deg with one row or more")
    found = []
    for number, row in enumerate(rows, start=2):
        try:
            values = {
                "frame": int(row["frame"]),
                "pitch_deg": float(row["pitch_deg"]),
                "yaw_deg": float(row["yaw_deg"]),
            }
        except (TypeError, ValueError) as error:
            raise BadInput(f"{path}: line {number}: expected three numbers, found {list(row.values())}") from error
        found.append(validated(GazeAt, values))
    return tuple(sorted(found, key=lambda one: one.frame))


def _order(text: str) -> Any:
    from typing import get_args

    from gaze_core.one_shot.layout import ChannelOrder
    from gaze_core.plans.settings import lookup

    return lookup("channel order", text, {name: name for name in get_args(ChannelOrder)})


def _say(record: Any, out: Path) -> None:
    from gaze_core.evaluation.readings import readings_text

    print_line(readings_text(record.readings))
    print_line(f"changed {record.changed_frames} of {record.frames} frames")
    for reason, count in record.left_alone.items():
        print_line(f"left alone: {reason} ({count})")
    print_line(f"pictures: {out}")


def _copy_checkpoint(ref: Any, out: Path) -> None:
    from tasks.store.artifacts import Store

    shutil.copytree(
        Store.from_environment().fetch(ref), out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json")
    )


def _metrics(ref: Any) -> Any:
    from tasks.store.artifacts import Store

    return Store.from_environment().manifest(ref).metrics
