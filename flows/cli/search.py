"""`gazeworks search`: a search for better settings, measured on the validation frames."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.cli.options import ConfigFile, Device, Set, file_option
from tasks.console import print_line, print_table


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(search)


def search(
    recording: Annotated[
        Path | None, typer.Option("--input", help="As for redirect; default: the shipped subject.")
    ] = None,
    source: Annotated[str, typer.Option(help="What the input is: synthetic or video.")] = "synthetic",
    preset: Annotated[str, typer.Option(help="tiny, small, paper or h200.")] = "tiny",
    trials: Annotated[int, typer.Option(min=1, help="Number of trials, including those of earlier runs.")] = 10,
    overrides: Set = None,
    config: ConfigFile = None,
    out: Annotated[Path, file_option("File for all trials.")] = Path("search.json"),
    device: Device = "auto",
) -> None:
    """Search for settings with less gaze error and perceptual distance on the validation frames; a second run goes on."""
    from gaze_core.config import Runtime
    from gaze_core.plans.requests.redirection import RedirectionRequest
    from gaze_core.plans.settings import validated
    from tasks import environment
    from tasks.server.own_server import prefect_server
    from tasks.store.recordings import require_recording

    given = {"source": source, "preset": preset, "changes": overrides or (), "config": config}
    request = validated(RedirectionRequest, given | ({"recording": recording} if recording else {}))
    require_recording(request.recording, request.source)
    plan = request.plan()
    with prefect_server() as ready:
        from flows.search import SearchConfig
        from flows.search import search as run

        environment.configure_logging()
        ready()
        result = run(request.recording.resolve(), plan, SearchConfig(num_trials=trials), Runtime(device=device))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(result.model_dump_json(indent=1) + "\n")
    keys = list(result.trials[0].settings)
    table = Table("trial", "gaze error, deg", result.perceptual_name, *(key.rpartition(".")[2] for key in keys), "best",
                  "gaze against lowest")  # fmt: skip
    for trial in sorted(result.trials, key=lambda t: t.gaze_error_deg):
        settings = (f"{trial.settings[key]:.3g}" for key in keys)
        row = (str(trial.number), f"{trial.gaze_error_deg:.2f}", f"{trial.perceptual:.4f}", *settings)
        table.add_row(*row, "yes" if trial.is_best else "", trial.against_lowest or "")
    print_table(table)
    print_line(str(out))
