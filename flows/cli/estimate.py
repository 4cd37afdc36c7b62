"""Gaze estimation on EVE: render people before a screen, convert recordings, train, evaluate."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.cli.options import ConfigFile, Device, Force, Json, Record, ReportFolder, Set, folder_option
from flows.cli.running import show_result
from gaze_core.errors import BadInput
from gaze_core.outputs import require_outside
from tasks import environment
from tasks.console import print_json, print_line
from tasks.measurements import record_report
from tasks.server.own_server import prefect_server

estimate_app = typer.Typer(no_args_is_help=True, help=__doc__)
Layout = Literal["auto", "eve", "eve_crops"]
Checkpoint = Annotated[str, typer.Option(help="Report, or folder of a temporal model.")]
Data = Annotated[
    Path | None, typer.Option(help="Recordings, as for train; default: the model's own, their test people.")
]
Cameras = Annotated[
    list[str] | None, typer.Option("--camera", help="basler (default), webcam_l, _c or _r. May be repeated.")
]


@estimate_app.command()
def synth(
    out: Annotated[Path, folder_option("Folder for the recordings, in EVE's layout.")] = Path("synthetic_eve"),
    train: Annotated[int, typer.Option(min=0, help="People to train on.")] = 12,
    val: Annotated[int, typer.Option(min=0, help="People for validation.")] = 4,
    test: Annotated[int, typer.Option(min=0, help="People for the test.")] = 6,
    rounds: Annotated[int, typer.Option(min=1, help="Recordings of each stimulus for each person.")] = 2,
    camera: Annotated[
        list[str] | None, typer.Option(help="basler (default), webcam_l, _c or _r. May be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same recordings.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that render; all cores if not given.")] = None,
    overrides: Set = None,
    config: ConfigFile = None,
) -> None:
    """Render people before a screen, with exact gaze (needs gazeworks[synthesis]); a second run goes on."""
    from gaze_core.estimation.conversion import require_cameras
    from gaze_core.estimation.synthetic_eve import SyntheticEveConfig, synthesize_eve
    from gaze_core.plans.settings import overridden

    cameras = tuple(camera or ("basler",))
    require_cameras(cameras)
    if not train + val + test:
        raise BadInput("no people; give at least one of --train, --val, --test")
    chosen = {"train": train, "val": val, "test": test, "rounds": rounds, "cameras": cameras, "seed": seed}
    plan = overridden(SyntheticEveConfig.model_validate(chosen), overrides or (), config)

    def advance(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done} of {total} recordings" + "\n" * (done >= total))

    synthesize_eve(plan, out, workers or os.cpu_count() or 1, advance)
    print_line(f"gazeworks estimate convert {out} --face-px {plan.render.face_px} --eye-px {plan.render.eye_px}")


@estimate_app.command()
def convert(
    path: Annotated[Path, typer.Argument(help="The folder of EVE, of synthetic EVE, or of crops in HDF5 files.")],
    out: Annotated[Path, folder_option("Folder for the converted recordings.")] = Path("recordings"),
    layout: Annotated[Layout, typer.Option(help="What the folder is; auto: what it looks like.")] = "auto",
    camera: Annotated[
        list[str] | None, typer.Option(help="basler (default), webcam_l, _c or _r. May be repeated.")
    ] = None,
    face_px: Annotated[int, typer.Option(min=16, help="Side of the face's crop.")] = 224,
    eye_px: Annotated[int, typer.Option(min=8, help="Side of each eye's crop.")] = 112,
    as_json: Json = False,
) -> None:
    """Decode recordings once, in order, into chunked files to train on (docs/datasets.md); a second run goes on."""
    from gaze_core.estimation.conversion import ConvertConfig, require_cameras
    from gaze_core.estimation.conversion import convert as convert_recordings

    cameras = tuple(camera or ("basler",))
    require_cameras(cameras)
    require_outside(out, path)
    chosen = {"layout": None if layout == "auto" else layout, "cameras": cameras, "face_px": face_px, "eye_px": eye_px}

    def advance(done: int, total: int) -> None:
        if not as_json:
            sys.stderr.write(f"\r{done} of {total} recordings" + "\n" * (done >= total))

    index = convert_recordings(path, out, ConvertConfig.model_validate(chosen), advance)
    if as_json:
        print_json({"out": str(out), **index.model_dump(mode="json")})
        return
    for problem in index.problems:
        print_line(problem)
    frames, valid = (sum(getattr(entry, name) for entry in index.recordings) for name in ("num_frames", "num_valid"))
    print_line(f"{out}: {len(index.recordings)} recordings, {frames} frames, {valid} of them with a valid gaze")


@estimate_app.command()
def evaluate(
    checkpoint: Checkpoint,
    data: Data = None,
    camera: Cameras = None,
    out: ReportFolder = Path("reports/estimate_evaluation"),
    device: Device = "auto",
    overrides: Set = None,
    config: ConfigFile = None,
    force: Force = None,
    as_json: Json = False,
    record: Record = None,
) -> None:
    """Measure a trained temporal model on people whom it has not seen, beside its baselines."""
    _measure(checkpoint, None, False, data, camera, out, device, overrides, config, force, as_json, record)


@estimate_app.command()
def compare(
    candidate: Checkpoint,
    baseline: Annotated[str, typer.Option(help="The same, or: champion (the model registry's).")] = "champion",
    data: Data = None,
    camera: Cameras = None,
    out: ReportFolder = Path("reports/estimate_comparison"),
    device: Device = "auto",
    overrides: Set = None,
    config: ConfigFile = None,
    force: Force = None,
    as_json: Json = False,
) -> None:
    """Compare a temporal model with another on the same frames; one that is better than the champion takes its place."""
    is_registered = baseline == "champion"
    rival = None if is_registered else baseline
    _measure(candidate, rival, is_registered, data, camera, out, device, overrides, config, force, as_json)


def _measure(
    candidate: str, baseline: str | None, is_registered: bool, data: Path | None, camera: list[str] | None, out: Path,
    device: Any, overrides: list[str] | None, config: Path | None, force: list[str] | None, as_json: bool,
    record: Path | None = None,
) -> None:  # fmt: skip
    """Runs the evaluation flow and prints its result."""
    from flows.references import data_of, find_reference
    from gaze_core.config import Runtime
    from gaze_core.plans.estimation import plan_of_data
    from gaze_core.plans.settings import overridden
    from gaze_core.stages.estimation.train_temporal import NAME

    refs = [find_reference(place) for place in (candidate, baseline) if place]
    for place, ref in zip((candidate, baseline), refs, strict=False):
        if ref.stage != NAME:
            raise BadInput(f"{place}: a checkpoint of {ref.stage}; expected one of gazeworks estimate train")
    source = data.resolve() if data else data_of(refs[0])
    plan = overridden(plan_of_data(tuple(camera or ("basler",))), overrides or (), config)
    with prefect_server() as ready:
        from flows.estimation import estimation_evaluation

        environment.configure_logging()
        ready()
        state = estimation_evaluation(
            refs[0], refs[1] if baseline else None, source, plan, out.resolve(), Runtime(device=device, progress=not as_json),
            is_registered, tuple(force or ()), return_state=True,
        )  # fmt: skip
        result = state.result()
    if record:
        source_name = source.name if isinstance(source, Path) else refs[0].name
        record_report(record, f"estimate evaluate, {source_name}", result.report, plan)
    show_result(result, as_json)
