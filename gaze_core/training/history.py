"""The logged numbers of a training run, one JSON object per line; kept beside its weights."""

import json
from collections.abc import Sequence
from pathlib import Path

STATS_FILE = "stats.jsonl"


def read_history(folder: Path) -> list[dict[str, float]]:
    """All rows; empty if the run has not logged yet."""
    path = folder / STATS_FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def write_history(folder: Path, rows: Sequence[dict[str, float]]) -> None:
    """Replaces the file by these rows."""
    (folder / STATS_FILE).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
