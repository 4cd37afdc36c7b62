"""The time of a command and of all processes that it starts, recorded only if it succeeds."""

import sys

import pytest

from benchmarks import wall_time
from tasks.measurements import history

BUSY = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\nprint('busy')"


def test_wall_clock_and_processor_time_are_recorded(monkeypatch, capsys, tmp_path):
    command = [sys.executable, "-c", BUSY]
    monkeypatch.setattr(
        sys, "argv", ["wall_time.py", "--what", "a loop", "--record", str(tmp_path / "loop"), "--", *command]
    )
    wall_time.main()
    (record,) = history(tmp_path / "loop").values()
    assert record.what == "a loop"
    assert record.command.startswith("python benchmarks/wall_time.py --what 'a loop'")
    assert 0.2 <= record.values["processor_s"] <= 10
    assert record.values["wall_s"] >= 0.2
    assert "busy" not in capsys.readouterr().out  # JSON, and nothing else


def test_a_command_that_fails_is_not_recorded(monkeypatch, tmp_path):
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(sys, "argv", ["wall_time.py", "--what", "x", "--record", str(tmp_path / "x"), "--", *command])
    with pytest.raises(SystemExit, match="exit status 3; nothing is recorded"):
        wall_time.main()
    assert not (tmp_path / "x").exists()
