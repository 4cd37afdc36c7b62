"""A user's text is never interpreted as markup."""

import json
import subprocess
from pathlib import Path

import pytest
from rich.table import Table

from tasks.console import plain_console, print_json, print_line, print_report, print_table
from tasks.progress import Bar, bars

ROOT = Path(__file__).parents[2]
TEXT = "/data/out [me]/n [/b] :smile: [bold red]x[/] gazeworks[gpu]"


def test_text_is_printed_as_it_is(capsys):
    print_line(TEXT)
    print_json({"path": TEXT})
    table = Table(box=None, show_header=False)
    table.add_row(TEXT)
    print_table(table)
    printed = capsys.readouterr().out
    first, rest = printed.split("\n", 1)
    assert first == TEXT
    assert json.loads(rest[: rest.index("}") + 1]) == {"path": TEXT}
    assert " ".join(rest[rest.index("}") + 1 :].split()) == TEXT


def test_a_progress_bar_prints_a_name_as_it_is(capsys):
    shown = bars(plain_console())
    Bar("stage [/b]", shown)(1, 2, 0.5)
    plain_console().print(shown.get_renderable())
    assert "stage [/b]" in capsys.readouterr().out


@pytest.mark.parametrize("pattern", ["rich.console import", "Console("])
def test_every_console_is_made_in_one_place(pattern):
    command = ["git", "grep", "--untracked", "-lF", pattern, "--", "flows", "tasks", "gaze_core"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert found == ["tasks/console.py"]


def test_failed_checks_and_places_are_said_before_the_report(capsys):
    print_report(Path("/out [me]/report.html"), ["labels: [yaw] is mirrored"], {"candidate": "/store/x"})
    assert capsys.readouterr().out.splitlines() == [
        "failed check: labels: [yaw] is mirrored", "checkpoint of candidate: /store/x", "report: /out [me]/report.html",
    ]  # fmt: skip
