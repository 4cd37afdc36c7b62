"""`gazeworks search`: better settings by the validation frames."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from flows.cli.options import Device, Set, file_option
from tasks.console import say, say_table


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(search)


def search(
    recording: Annotated[
        Path | None, typer.Option("--input", help="As for redirect; else the shipped subject.")
    ] = None,
    source: Annotated[Literal["synthetic", "video"], typer.Option(help="What the input is.")] = "synthetic",
    preset: Annotated[str, typer.Option(help="tiny, small, paper or h200.")] = "tiny",
    trials: Annotated[int, typer.Option(min=1, help="In all, those of earlier runs included.")] = 10,
    changes: Set = None,
    out: Annotated[Path, file_option("File for all trials.")] = Path("search.json"),
    device: Device = "auto",
) -> None:
    """Look for better settings by gaze error and perceptual distance on the validation frames; go on where it stopped."""
    from gaze_core.config import Runtime
    from gaze_core.plans.redirection import redirection_plan
    from gaze_core.synthesis.packs import pack_path
    from tasks import environment
    from tasks.server.own_server import prefect_server
    from tasks.store.recordings import require_recording

    path = recording or pack_path("synthetic_128")
    require_recording(path, source)
    plan = redirection_plan(preset, source, changes or ())
    with prefect_server() as ready:
        from flows.search import SearchConfig
        from flows.search import search as run

        environment.configure_logging()
        ready()
        result = run(path.resolve(), plan, SearchConfig(num_trials=trials), Runtime(device=device))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(result.model_dump_json(indent=1) + "\n")
    keys = list(result.trials[0].settings)
    table = Table("trial", "gaze error, deg", result.perceptual_name, *(key.rpartition(".")[2] for key in keys), "best")
    for trial in sorted(result.trials, key=lambda t: t.gaze_error_deg):
        settings = (f"{trial.settings[key]:.3g}" for key in keys)
        row = (str(trial.number), f"{trial.gaze_error_deg:.2f}", f"{trial.perceptual:.4f}", *settings)
        table.add_row(*row, "yes" if trial.is_best else "")
    say_table(table)
    say(str(out))
