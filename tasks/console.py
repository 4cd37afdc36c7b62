"""What is printed: a user's text as it is.

rich takes `[gpu]` for a style, `[/y]` for the end of one and `:smile:` for an emoji, in whatever text it prints. So
every console is made here, and none of them does.
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


def say(text: str | Text) -> None:
    """Prints a line, however long: a path must stay in one piece."""
    _out.print(text, soft_wrap=True)


def say_table(table: Table) -> None:
    """Prints a table, as wide as the terminal."""
    _out.print(table)


def say_json(value: Any) -> None:
    """Prints a value for a program, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def say_report(
    report: Path,
    faults: Sequence[str] = (),
    checkpoints: Mapping[str, str] | None = None,
    remarks: Sequence[str] = (),
) -> None:
    """Prints what a run's report shows in red, its remarks, and where its checkpoints and the report itself lie."""
    for fault in faults:
        say(Text(f"failed check: {fault}", "red"))
    for remark in remarks:
        say(remark)
    for name, place in (checkpoints or {}).items():
        say(f"checkpoint of {name}: {place}")
    say(f"report: {report}")
