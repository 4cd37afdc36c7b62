"""The logged metrics of a training run, one JSON object per line; saved beside its weights."""

import json
from collections.abc import Sequence
from pathlib import Path

from gaze_core.atomic import write_text

STATS_FILE = "stats.jsonl"


def read_history(folder: Path) -> list[dict[str, float]]:
    """All rows; empty if the run has not logged yet. A truncated last line is left out."""
    path = folder / STATS_FILE
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def write_history(folder: Path, rows: Sequence[dict[str, float]]) -> None:
    """Replaces the file with these rows."""
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    write_text(folder / STATS_FILE, text)
