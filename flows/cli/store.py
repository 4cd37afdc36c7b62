"""`gazeworks store`: list, verify and clean up the artifact store."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.cli.options import Json
from gaze_core.errors import BadInput, MissingArtifact
from tasks.console import print_json, print_line, print_table

if TYPE_CHECKING:
    from tasks.store.inventory import Stored

app = typer.Typer(no_args_is_help=True, help=__doc__)

Stage = Annotated[str, typer.Option(help="Only this stage.")]
MB, MAX_DAYS = 1e6, 36_500


@app.command()
def ls(stage: Stage = "", as_json: Json = False) -> None:
    """List the artifacts, the oldest first."""
    from tasks.store.artifacts import Store
    from tasks.store.inventory import stored

    _show(stored(Store.from_environment(), stage), {}, as_json)


@app.command()
def verify(stage: Stage = "", as_json: Json = False) -> None:
    """Fetch and hash every file; exit code 1 if anything is not whole."""
    from tasks.store.artifacts import Store
    from tasks.store.inventory import faults, stored

    store = Store.from_environment()
    found = list(faults(store, stored(store, stage)))
    _show([row for row, _ in found], {row.uri: fault for row, fault in found}, as_json)
    broken = [row for row, fault in found if fault]
    if broken:
        raise MissingArtifact(f"{len(broken)} of {len(found)} artifacts are not whole; the next run makes them again")


@app.command()
def gc(
    older_than_days: Annotated[float, typer.Option(help="Younger artifacts stay.")] = 30.0,
    keep_last: Annotated[int, typer.Option(min=0, help="What the newest runs of each flow used stays.")] = 5,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete. Without it, only list what would be deleted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete artifacts that no registered model with an alias, no kept or recent run and no kept artifact needs.

    Also deletes this machine's copies of artifacts in a bucket if the bucket no longer holds them or they are as old.
    """
    from tasks.store.artifacts import Store
    from tasks.store.inventory import copies, remove, stored, unneeded, unneeded_copies
    from tasks.tracking.kept import Kept, kept, require_known

    age = _age(older_than_days)
    store = Store.from_environment()
    rows, copied = stored(store), copies(store.cache_dir)
    known = kept(keep_last) if rows or copied else Kept()
    require_known(store.root_uri, [row.name for row in rows], known)
    unused = unneeded(rows, known.names, age)
    remaining = [row for row in rows if row not in unused]
    freed = unneeded_copies(copied, remaining, known.in_use, age)
    _show(unused + freed, {}, as_json)
    if delete:
        for row in [*reversed(unused), *freed]:  # children before their parents
            remove(store, row)
    done = "deleted" if delete else "to delete; give --delete to do it"
    if not as_json:
        print_line(
            f"{len(unused)} of {len(rows)} artifacts, {_megabytes(unused):.1f} MB, and {len(freed)} of {len(copied)} "
            f"downloaded copies, {_megabytes(freed):.1f} MB: {done}"
        )


def _age(days: float) -> timedelta:
    if not 0 <= days <= MAX_DAYS:
        raise BadInput(f"--older-than-days {days:g}: expected 0 to {MAX_DAYS} days")
    return timedelta(days=days)


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
                "fault": faults.get(row.uri, row.state),
            }
            for row in rows
        ]
        print_json(found)
        return
    table = Table(box=None)
    for title in ("stage", "artifact", "created (UTC)", "MB", "state"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    for row in rows:
        state = row.state or ("not whole" if faults.get(row.uri) else "whole" if faults else "")
        name = row.uri.rpartition("/")[2]
        table.add_row(row.stage, name, f"{row.created:%Y-%m-%d %H:%M}", f"{row.num_bytes / MB:.2f}", state)
    print_table(table)
    for fault in filter(None, faults.values()):
        print_line(fault)
