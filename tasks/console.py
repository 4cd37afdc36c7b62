"""Output to the terminal: text is printed exactly as it is.

By default rich interprets `[gpu]` as a style, `[/y]` as the end of one and `:smile:` as an emoji. Every console is made
here, with markup and emoji switched off.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console as Console  # the type, for those who draw on one
from rich.table import Table
from rich.text import Text


def plain_console(stderr: bool = False) -> Console:
    """A console that prints text as it is, on standard output or standard error."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


_out = plain_console()


def print_line(text: str | Text) -> None:
    """Prints a line, however long: a path must stay in one piece."""
    _out.print(text, soft_wrap=True)


def print_table(table: Table) -> None:
    """Prints a table, as wide as the terminal."""
    _out.print(table)


def print_json(value: Any) -> None:
    """Prints a value for a program, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def print_report(report: Path, faults: Sequence[str] = (), checkpoints: Mapping[str, str] | None = None) -> None:
    """Prints a run's failed checks, and the paths of its checkpoints and its report."""
    for fault in faults:
        print_line(Text(f"failed check: {fault}", "red"))
    for name, place in (checkpoints or {}).items():
        print_line(f"checkpoint of {name}: {place}")
    print_line(f"report: {report}")
