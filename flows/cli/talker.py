"""Talking heads: prepare a video, train a head that follows sound and gaze, render films, measure."""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import ConfigFile, Device, Force, Json, Record, ReportFolder, Set, file_option, folder_option
from gaze_core.assets import search_beside
from gaze_core.errors import BadInput
from gaze_core.outputs import require_outside
from tasks import environment
from tasks.console import print_json, print_line
from tasks.server.own_server import prefect_server

talker_app = typer.Typer(no_args_is_help=True, help=__doc__)
Audio = Annotated[str, typer.Option(help="Audio features: log_mel, whisper_tiny, wav2vec2.")]
Checkpoint = Annotated[str, typer.Option(help="Report of gazeworks talker train, or the folder of a trained head.")]


@talker_app.command()
def demo(
    out: Annotated[Path, folder_option("Folder for film and report.")] = Path("reports/talker-demo"),
    device: Device = "auto",
    force: Force = None,
    as_json: Json = False,
    record: Record = None,
) -> None:
    """Train a head of a rendered person who ships with the package; needs no other file, and takes minutes."""
    from flows.cli.running import OutputOptions, _run
    from flows.systems import system
    from gaze_core.config import Runtime
    from gaze_core.plans.requests.talker import TalkerRequest

    runtime = Runtime(device=device, progress=not as_json)
    _run(
        system("talker"), TalkerRequest(preset="demo"), out, runtime, tuple(force or ()), OutputOptions(as_json, record)
    )


@talker_app.command()
def synth(
    train: Annotated[int, typer.Option(min=25, help="Frames to train on, 25 a second.")] = 200,
    held_out: Annotated[int, typer.Option(min=10, help="Frames of other words, which are held out.")] = 75,
    size: Annotated[int, typer.Option(min=32, help="Side of a frame, px.")] = 128,
    person: Annotated[int, typer.Option(min=0, help="Seed of the person.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of words and movements.")] = 11,
    out: Annotated[Path, folder_option("Folder for the subject.")] = Path("talker"),
) -> None:
    """Render a person who talks, blinks and looks around, with exact labels (needs gazeworks[synthesis])."""
    from gaze_core.talker.synthetic_talker import SyntheticTalkerConfig, synthesize_talker

    if out.is_dir() and any(out.iterdir()):
        raise BadInput(f"{out}: not empty; choose another --out")
    config = SyntheticTalkerConfig(
        identity_seed=person, seed=seed, num_train=train, num_held_out=held_out, size_px=size
    )
    synthesize_talker(config, out, _progress)
    print_line(f"{out}: gazeworks talker train --recording {out}")


@talker_app.command()
def prepare(
    recording: Annotated[
        Path, typer.Option("--input", help="A video with sound, or a folder of GaussianTalker or InsTaG.")
    ],
    out: Annotated[Path, folder_option("Folder for the subject.")] = Path("talker"),
    audio: Audio = "log_mel",
    overrides: Set = None,
    config: ConfigFile = None,
    force: Force = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make a subject of a video: landmarks, pose, regions, background, lids, gaze, audio features."""
    search_beside(recording)
    require_outside(out, recording)
    if not recording.exists():
        raise BadInput(f"{recording}: no such file or folder; expected a video or a published subject")
    with prefect_server() as ready:
        from flows.talker import prepare_only
        from gaze_core.config import Runtime
        from gaze_core.plans.settings import overridden
        from gaze_core.plans.talker import talker_plan
        from tasks.store.artifacts import Store

        plan = overridden(talker_plan("tiny", audio).prepare, overrides or (), config)
        environment.configure_logging()
        ready()
        runtime = Runtime(device=device, progress=not as_json)
        ref = prepare_only(recording.resolve(), plan, runtime, tuple(force or ()))
        store = Store.from_environment()
        _copy(store.fetch(ref), out)
        manifest = store.manifest(ref)
    if as_json:
        print_json({"out": str(out), "notes": list(manifest.notes), "dropped": dict(manifest.dropped)})
        return
    for note in manifest.notes:
        print_line(note)
    print_line(f"{out}: gazeworks talker train --recording {out}")


@talker_app.command()
def render(
    checkpoint: Checkpoint,
    sound: Annotated[
        Path | None, typer.Option(help="Other sound: a wav, or any file with sound. Default: the held-out recording.")
    ] = None,
    gaze: Annotated[
        str,
        typer.Option(
            help='recorded, camera (eye contact), generator, "pitch,yaw" in degrees as the camera sees them, or a CSV with '
            "the columns frame, pitch_deg, yaw_deg: a row holds from its frame on."
        ),
    ] = "recorded",
    blinks: Annotated[
        str, typer.Option(help="recorded, generator, or a CSV with the columns frame, blink (0 open, 1 closed).")
    ] = "recorded",
    seconds: Annotated[float | None, typer.Option(min=0.04, help="The film ends there.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the generator of eyes.")] = 0,
    out: Annotated[Path, file_option("The film.")] = Path("talker.mp4"),
    overrides: Set = None,
    force: Force = None,
    device: Device = "auto",
) -> None:
    """Render a film with sound of a trained head; longer sound than video goes on, shorter sound ends the film."""
    from flows.references import data_of, find_reference
    from gaze_core.config import Runtime

    for path in (sound, *(Path(one) for one in (gaze, blinks) if _is_table(one))):
        if path is not None and not path.is_file():
            raise BadInput(f"{path}: no such file")
    candidate = find_reference(checkpoint)
    with prefect_server() as ready:
        from flows.talker import render_only
        from gaze_core.plans.settings import overridden, validated
        from gaze_core.stages.talker.render import TalkerRenderConfig
        from gaze_core.talker.driving_choice import DrivingConfig
        from tasks.store.artifacts import Store

        driving = validated(DrivingConfig, _driving(gaze, blinks, seconds, seed))
        plan = overridden(TalkerRenderConfig(driving=driving), overrides or ())
        environment.configure_logging()
        ready()
        ref = render_only(
            candidate, data_of(candidate), plan, None if sound is None else sound.resolve(), _table(gaze), _table(blinks),
            Runtime(device=device), tuple(force or ()),
        )  # fmt: skip
        folder = Store.from_environment().fetch(ref)
        notes = Store.from_environment().manifest(ref).notes
    film = next(iter(sorted(folder.glob("*.mp4"))))
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(film, out)
    for note in notes:
        print_line(note)
    print_line(str(out))


@talker_app.command()
def evaluate(
    checkpoint: Checkpoint,
    baseline: Annotated[str | None, typer.Option(help="Another head of the same subject to compare with.")] = None,
    out: ReportFolder = Path("reports/talker_evaluation"),
    device: Device = "auto",
    overrides: Set = None,
    config: ConfigFile = None,
    force: Force = None,
    as_json: Json = False,
) -> None:
    """Measure a trained head on held-out time, with checks that its sound and its gaze are used."""
    from flows.cli.running import show_result
    from flows.references import data_of, find_reference
    from gaze_core.config import Runtime

    refs = [find_reference(place) for place in (checkpoint, baseline) if place]
    with prefect_server() as ready:
        from flows.talker import talker_evaluation
        from gaze_core.plans.settings import overridden
        from gaze_core.plans.talker import talker_plan

        plan = overridden(talker_plan("tiny"), overrides or (), config)
        environment.configure_logging()
        ready()
        state = talker_evaluation(
            refs[0], refs[1] if baseline else None, data_of(refs[0]), plan.evaluate, plan.tolerance, out.resolve(),
            Runtime(device=device, progress=not as_json), tuple(force or ()), return_state=True,
        )  # fmt: skip
        result = state.result()
    show_result(result, as_json)


def _driving(gaze: str, blinks: str, seconds: float | None, seed: int) -> dict[str, Any]:
    """Settings of the driving signal.

    Raises:
        BadInput: neither a known word, nor angles, nor a table.
    """
    from flows.angles import parse_angles

    words = ("recorded", "camera", "generator")
    found: dict[str, Any] = {"most_s": seconds, "seed": seed}
    if gaze in words or _is_table(gaze):
        found["gaze"] = gaze if gaze in words else "table"
    else:
        angles = parse_angles(gaze, "--gaze")
        if len(angles) != 1:
            raise BadInput(f'--gaze {gaze!r}: expected {", ".join(words)}, one "pitch,yaw" in degrees, or a CSV')
        found |= {"gaze": "camera", "camera_gaze_deg": angles[0]}
    if blinks not in ("recorded", "generator") and not _is_table(blinks):
        raise BadInput(f"--blinks {blinks!r}: expected recorded, generator, or a CSV")
    found["blinks"] = "table" if _is_table(blinks) else blinks
    return found


def _is_table(text: str) -> bool:
    return text.lower().endswith(".csv")


def _table(text: str) -> Path | None:
    return Path(text).resolve() if _is_table(text) else None


def _copy(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            target = out / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _progress(done: int, total: int, _: float) -> None:
    sys.stderr.write(f"\r{done} of {total} frames" + "\n" * (done >= total))
