"""The command line: a user's mistake is one clear line on stderr and exit code 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_subject import write_tiny_subject

ROOT = Path(__file__).parents[2]


def gazeworks(*arguments, home):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "GAZEWORKS_HOME": str(home / "gazeworks"),
                   "PYTHONPATH": str(ROOT), "COLUMNS": "200"}  # fmt: skip
    command = [sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300, cwd=home)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["redirect", "--input", "absent.mp4"], "absent.mp4: no such file or folder"),
        (["demo", "--preset", "huge"], "unknown preset 'huge'; expected one of: tiny, small"),
        (["demo", "--set", "mesh_head.fit.stpes=3"], "unknown key 'stpes'; known here: num_steps"),
        (["demo", "--set", "mesh_head.fit.num_steps=-3"], "mesh_head.fit.num_steps: Input should be greater than 0"),
        (["demo", "--set", "nonsense"], "expected KEY=VALUE"),
    ],
)
def test_a_mistake_that_needs_no_work_is_one_line_and_exit_code_2(tmp_path, arguments, expected):
    done = gazeworks(*arguments, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "gazeworks" / "store").exists()


def test_a_truncated_subject_file_is_one_line_and_exit_code_2(tmp_path):
    path = write_tiny_subject(tmp_path / "subject.h5", num_images=4)
    path.write_bytes(path.read_bytes()[:3000])
    done = gazeworks("redirect", "--source", "synthetic", "--input", path, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "subject.h5: not a readable HDF5 file, truncated" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_reports_each_part_as_json(tmp_path):
    done = gazeworks("doctor", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert {"cpu", "cuda", "numba", "gsplat", "face_landmarker", "store", "tracking"} <= set(findings)
    assert findings["numba"]["ok"]
    assert "GAZEWORKS_ASSETS" in findings["face_landmarker"]["detail"]
