"""`gazeworks studio`: a page in the browser in which heads look where a person points."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Device
from gaze_core.assets import search_beside
from gaze_core.errors import BadInput


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(studio)


def studio(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a report or of a checkpoint to draw with, beside what ships; may be repeated."),
    ] = None,
    photo: Annotated[Path | None, typer.Option(help="A photo to move; more can be dropped on the page.")] = None,
    reports: Annotated[
        Path,
        typer.Option(help="Folder whose reports the gallery lists; the talking head of its newest one is opened, too."),
    ] = Path("reports"),
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than 127.0.0.1 are open to all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 0,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = False,
    device: Device = "auto",
) -> None:
    """Hold a head in the browser and move its eyes. Without options it shows the models that ship."""
    from flows.apps.studio.catalog import newest_talker, openings, shipped
    from flows.apps.studio.serve import Address, serve
    from gaze_core.config import Runtime
    from tasks import environment

    environment.configure_logging()
    given = [one for path in checkpoint or () for one in openings(path)]
    content = _photo(photo) if photo else None
    talker = [] if any(one.is_talker for one in given) else newest_talker(reports)
    serve([*given, *shipped(), *talker], Address(host, port, not headless), reports, content, Runtime(device=device))


def _photo(path: Path) -> bytes:
    from flows.apps.studio.uploads import MAX_UPLOAD_BYTES

    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a photo, JPEG, PNG or WebP")
    if path.stat().st_size > MAX_UPLOAD_BYTES:
        raise BadInput(
            f"{path}: {path.stat().st_size / 1e6:.0f} MB; expected a photo of up to {MAX_UPLOAD_BYTES / 1e6:.0f} MB"
        )
    search_beside(path)
    return path.read_bytes()
