"""The runs that can be found again: report pages in a folder, and the checkpoints of the store."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gaze_core.errors import BadInput
from gaze_core.reports.page import JSON_FILE, PAGE_FILE
from tasks.store.artifacts import Store
from tasks.store.inventory import names_in, stored

_DEPTH, _MAX_ROWS, _MAX_NUMBERS, _MAX_BYTES = 3, 200, 4, 20_000_000


def report_rows(folder: Path) -> list[dict[str, Any]]:
    """The reports below a folder, the newest first: title, verdict, main numbers, names of artifacts, date."""
    rows = [row for path in _reports(folder) if (row := _row(path, folder)) is not None]
    return sorted(rows, key=lambda row: str(row["created"]), reverse=True)[:_MAX_ROWS]


def store_rows(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The checkpoints and reports of the store, the newest first, each with the report that names it, if one does."""
    pages = {name: report["page"] for report in reversed(reports) for name in report["artifacts"]}
    store = Store.from_environment()
    rows = [row for row in stored(store) if row.ref is not None and row.ref.kind != "dataset"]
    return [
        {
            "name": row.name, "stage": row.stage, "kind": row.ref.kind if row.ref else "", "created": _minute(row.created),
            "megabytes": round(row.num_bytes / 1e6, 2), "page": pages.get(row.name, ""),
            "numbers": _numbers(store.manifest(row.ref).metrics) if row.ref else {},
        }
        for row in reversed(rows[-_MAX_ROWS:])
    ]  # fmt: skip


def page_of(folder: Path, name: str) -> Path:
    """The report page of a row.

    Raises:
        BadInput: there is no such report.
    """
    for path in _reports(folder):
        if str(path.parent.relative_to(folder)) == name and (path.parent / PAGE_FILE).is_file():
            return path.parent / PAGE_FILE
    raise BadInput(f"{name}: no report of that name in {folder}; see the gallery")


def _reports(folder: Path) -> Iterator[Path]:
    for depth in range(_DEPTH):
        yield from sorted(folder.glob("/".join(["*"] * depth + [JSON_FILE])))


def _row(path: Path, folder: Path) -> dict[str, Any] | None:
    if path.stat().st_size > _MAX_BYTES:
        return None
    text = path.read_text(errors="replace")
    try:
        facts = json.loads(text)
        numbers = facts.get("numbers", facts.get("metrics", {}))
        return {
            "title": str(facts.get("title") or path.parent.name), "verdict": str(facts.get("verdict", "")),
            "numbers": _numbers(numbers), "artifacts": sorted(names_in([text])),
            "created": _minute(datetime.fromtimestamp(path.stat().st_mtime, UTC)),
            "page": str(path.parent.relative_to(folder)) if (path.parent / PAGE_FILE).is_file() else "",
        }  # fmt: skip
    except (ValueError, AttributeError):
        return None  # somebody else's file


def _numbers(values: Any) -> dict[str, float]:
    items = values.items() if isinstance(values, dict) else ()
    plain = {str(name): round(float(value), 3) for name, value in items if isinstance(value, int | float)}
    return dict(list(plain.items())[:_MAX_NUMBERS])


def _minute(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M}"
