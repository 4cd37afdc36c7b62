"""`gazeworks export`: a trained head as an MLflow model, ready to be served."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import folder_option
from tasks.console import print_line


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(export)


def export(
    checkpoint: Annotated[Path, typer.Option(help="Folder of a report, or of a trained GazeGaussian.")],
    out: Annotated[Path, folder_option("New folder of the MLflow model.")] = Path("served_model"),
    recording: Annotated[Path | None, typer.Option("--input", help="A subject file; else the model's own.")] = None,
) -> None:
    """Write a trained head as an MLflow model: mlflow models serve -m OUT --env-manager local --host 127.0.0.1"""
    from flows.references import checkpoint_folder
    from flows.sampling import recording_file
    from tasks import environment
    from tasks.serving.export import save_served_model

    environment.configure_logging()

    folder = checkpoint_folder(checkpoint)
    model = save_served_model(folder, recording or recording_file(folder), out)
    print_line(f"model: {model}")
    serve = f"mlflow models serve -m {model} --env-manager local --host 127.0.0.1 --port 5001"
    print_line(f"serve: {serve}")
