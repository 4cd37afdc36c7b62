"""No user's text is markup."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from gaze_core.config import Runtime
from tasks.console import plain_console, say, say_json, say_table
from tasks.progress import shown_progress

ROOT = Path(__file__).parents[2]
TEXT = "/data/out [me]/n [/b] :smile: [bold red]x[/] gazeworks[gpu]"


def test_text_is_printed_as_it_is(capsys):
    say(TEXT)
    say_json({"path": TEXT})
    table = Table(box=None, show_header=False)
    table.add_row(TEXT)
    say_table(table)
    printed = capsys.readouterr().out
    first, rest = printed.split("\n", 1)
    assert first == TEXT
    assert json.loads(rest[: rest.index("}") + 1]) == {"path": TEXT}
    assert " ".join(rest[rest.index("}") + 1 :].split()) == TEXT


def test_a_progress_bar_prints_a_name_as_it_is(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("tasks.progress.plain_console", lambda stderr: terminal())
    with shown_progress("stage [/b]", Runtime(), None) as progress:
        progress(1, 2, 0.5)
        time.sleep(0.3)  # rich draws ten times a second
    shown = Text.from_ansi(capsys.readouterr().err).plain
    assert "stage [/b]" in shown


def terminal():
    console = plain_console(stderr=True)
    console._force_terminal = True
    return console


@pytest.mark.parametrize("pattern", ["rich.console import", "Console("])
def test_every_console_is_made_in_one_place(pattern):
    command = ["git", "grep", "--untracked", "-lF", pattern, "--", "flows", "tasks", "gaze_core"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert found == ["tasks/console.py"]
