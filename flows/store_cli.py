"""`gazeworks store`: what is in the artifact store, whether it is whole, and what nobody needs any more."""

import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gaze_core.errors import MissingArtifact

if TYPE_CHECKING:
    from tasks.inventory import Stored

app = typer.Typer(no_args_is_help=True, help=__doc__)
console = Console()

Stage = Annotated[str, typer.Option(help="Only this stage.")]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable results.")]
MB = 1e6


@app.command()
def ls(stage: Stage = "", as_json: Json = False) -> None:
    """List the artifacts, the oldest first."""
    from tasks.inventory import stored
    from tasks.store import Store

    _show(stored(Store.from_environment(), stage), {}, as_json)


@app.command()
def verify(stage: Stage = "", as_json: Json = False) -> None:
    """Fetch and hash every file; exit code 1 if anything is not whole."""
    from tasks.inventory import faults, stored
    from tasks.store import Store

    store = Store.from_environment()
    found = list(faults(store, stored(store, stage)))
    _show([row for row, _ in found], {row.uri: fault for row, fault in found}, as_json)
    broken = [row for row, fault in found if fault]
    if broken:
        raise MissingArtifact(f"{len(broken)} of {len(found)} artifacts are not whole; the next run makes them again")


@app.command()
def gc(
    older_than_days: Annotated[float, typer.Option(min=0, help="Younger artifacts stay.")] = 30.0,
    keep_last: Annotated[int, typer.Option(min=0, help="What the newest runs of each flow used stays.")] = 5,
    delete: Annotated[bool, typer.Option("--delete", help="Delete. Without it, only say what would be.")] = False,
    as_json: Json = False,
) -> None:
    """Delete what nobody needs: not what a registered model with an alias, a kept or recent run, or a child needs."""
    from tasks.inventory import stored, unneeded
    from tasks.kept import kept_names
    from tasks.store import Store

    store = Store.from_environment()
    rows = stored(store)
    doomed = unneeded(rows, kept_names(keep_last), timedelta(days=older_than_days))
    _show(doomed, {}, as_json)
    if delete:
        for row in reversed(doomed):  # children before what they were made from
            store.backend.delete(row.uri)
    done = "deleted" if delete else "to delete; say --delete to do it"
    if not as_json:
        console.print(f"{len(doomed)} of {len(rows)} artifacts, {_megabytes(doomed):.1f} MB: {done}", highlight=False)


def _megabytes(rows: "list[Stored]") -> float:
    return sum(row.num_bytes for row in rows) / MB


def _show(rows: "list[Stored]", faults: dict[str, str], as_json: bool) -> None:
    if as_json:
        found = [
            {
                "uri": row.uri,
                "stage": row.stage,
                "created": row.created.isoformat(),
                "bytes": row.num_bytes,
                "whole": row.ref is not None and not faults.get(row.uri),
                "fault": faults.get(row.uri, "" if row.ref else "unfinished"),
            }
            for row in rows
        ]
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    table = Table(box=None)
    for title in ("stage", "artifact", "created (UTC)", "MB", "state"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    for row in rows:
        state = "unfinished" if row.ref is None else "not whole" if faults.get(row.uri) else "whole" if faults else ""
        name = row.uri.rpartition("/")[2]
        table.add_row(row.stage, name, f"{row.created:%Y-%m-%d %H:%M}", f"{row.num_bytes / MB:.2f}", state)
    console.print(table)
    for fault in filter(None, faults.values()):
        console.print(fault, highlight=False, markup=False, soft_wrap=True)
