"""Import models that others have published."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.options import folder_option
from tasks.console import print_line

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.callback()
def imports() -> None:
    """Import models that others have published."""


@app.command()
def gazegaussian(
    checkpoint: Annotated[Path, typer.Argument(help="The published file, gazegaussian_ckp.pth.", metavar="CKPT")],
    out: Annotated[Path, folder_option("New folder; `gazeworks sample --checkpoint` takes it.")],
    recordings: Annotated[
        Literal["published", "any"],
        typer.Option(help="Recordings to render: converted GazeGaussian files, or any (neutral codes)."),
    ] = "published",
    scale: Annotated[
        float, typer.Option(help="Scale of all heads, with --recordings any; converted files hold their own.")
    ] = 1.0,
) -> None:
    """Import GazeGaussian (ICCV 2025) with its own semantics, faults included (docs/decisions/0008)."""
    from gaze_core.errors import BadInput
    from gaze_core.models.official.frames import OfficialConfig
    from gaze_core.stages.redirection.import_gazegaussian import import_gazegaussian

    if not 0.01 <= scale <= 100:
        raise BadInput(f"--scale {scale:g}: expected a number near 1, between 0.01 and 100")
    if recordings == "published" and scale != 1:
        raise BadInput(
            f"--scale {scale:g}: converted files name their own scale; expected it with --recordings any only"
        )
    manifest = import_gazegaussian(checkpoint, out, OfficialConfig(recordings=recordings, scale=scale))
    counts = manifest.metrics
    lines = [
        f"{out}: {counts['num_face_points']:.0f} face and {counts['num_eye_points']:.0f} eye Gaussians",
        f"sha256 of {checkpoint.name}: {manifest.config['source']['sha256']}",
        *(f"note: {note}" for note in manifest.notes),
    ]
    for line in lines:
        print_line(line)
