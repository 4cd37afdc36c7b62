"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gaze_core.outputs import output_file, output_folder

Json = Annotated[bool, typer.Option("--json", help="Print machine-readable results.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change one key: dotted.key=value. May be repeated.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML or JSON file with changed settings; --set overrides it.")
]
Force = Annotated[list[str] | None, typer.Option(help="Compute this stage anew. May be repeated.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")]


def folder_option(help: str) -> Any:
    """Option for a folder of results. The command is refused before it begins if the folder cannot be written to."""
    return typer.Option(help=help, callback=_folder)


def file_option(help: str) -> Any:
    """Option for a file of results. The command is refused before it begins if the file cannot be written."""
    return typer.Option(help=help, callback=_file)


def _folder(path: Path | None) -> Path | None:
    return path if path is None else output_folder(path)


def _file(path: Path | None) -> Path | None:
    return path if path is None else output_file(path)


ReportFolder = Annotated[Path, folder_option("Folder for the report.")]
Record = Annotated[
    Path | None, folder_option("Also keep what was measured as a record in this folder, such as docs/measured/demo.")
]
