"""The command line: a user's mistake is one clear line on stderr and exit code 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli
from tests.tiny_subject import write_tiny_subject

ROOT = Path(__file__).parents[2]


def gazeworks(monkeypatch, capsys, *arguments):
    """Runs the command in this process; returns exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["gazeworks", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    return stopped.value.code, printed.out, printed.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["redirect", "--input", "absent.mp4"], "absent.mp4: no such file or folder"),
        (["demo", "--preset", "huge"], "unknown preset 'huge'; expected one of: tiny, small"),
        (["demo", "--set", "mesh_head.fit.stpes=3"], "unknown key 'stpes'; known here: num_steps"),
        (["demo", "--set", "mesh_head.fit.num_steps=-3"], "mesh_head.fit.num_steps: Input should be greater than 0"),
        (["demo", "--set", "nonsense"], "expected KEY=VALUE"),
        (["synth", "--rig", "moon"], "no rig named 'moon'; expected one of: frontal"),
        (["synth", "--light", "sun"], "no light named 'sun'; expected some of: studio"),
    ],
)
def test_a_mistake_that_needs_no_work_is_one_line_and_exit_code_2(monkeypatch, capsys, home, arguments, expected):
    code, out, err = gazeworks(monkeypatch, capsys, *arguments)
    assert code == 2, err
    assert expected in err
    assert len(err.strip().splitlines()) == 1
    assert not out
    assert not (home / "store").exists()


def test_an_empty_folder_is_no_recording(monkeypatch, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = gazeworks(monkeypatch, capsys, "redirect", "--input", tmp_path / "empty")
    assert (code, "the folder is empty; expected images" in err) == (2, True)


def test_a_mistake_found_by_a_stage_is_shown_without_a_traceback(tmp_path):
    path = write_tiny_subject(tmp_path / "subject.h5", num_images=4)
    path.write_bytes(path.read_bytes()[:3000])
    command = [sys.executable, "-c", "from flows.cli import main; main()", "redirect", "--source", "synthetic"]
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run([*command, "--input", str(path)], env=environment, cwd=tmp_path, capture_output=True,
                          text=True, check=False, timeout=300)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "subject.h5: not a readable HDF5 file, truncated" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_reports_each_part_as_json(monkeypatch, capsys):
    monkeypatch.setenv("GAZEWORKS_ASSETS", "")
    _, out, _ = gazeworks(monkeypatch, capsys, "doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)}
    assert {"cpu", "cuda", "numba", "gsplat", "face_landmarker", "store", "tracking"} <= set(findings)
    assert findings["numba"]["ok"]
    assert "GAZEWORKS_ASSETS" in findings["face_landmarker"]["detail"]
