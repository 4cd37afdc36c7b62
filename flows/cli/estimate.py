"""Gaze estimation on EVE: render people before a screen, convert recordings, train, evaluate."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.options import ConfigFile, Json, Set, folder_option
from gaze_core.errors import BadInput
from gaze_core.outputs import require_outside
from tasks.console import print_json, print_line

estimate_app = typer.Typer(no_args_is_help=True, help=__doc__)
Layout = Literal["auto", "eve", "eve_crops"]


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
