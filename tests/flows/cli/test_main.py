"""The command line: a user's mistake is one clear line on stderr and exit code 2."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from flows.cli import main as cli
from tests.tiny_subject import write_tiny_subject

ROOT = Path(__file__).parents[3]


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
    assert (code, "the folder is empty; expected video, images" in err) == (2, True)


def test_a_mistake_found_by_a_stage_is_shown_without_a_traceback(tmp_path):
    path = write_tiny_subject(tmp_path / "subject.h5", num_images=4)
    path.write_bytes(path.read_bytes()[:3000])
    command = [sys.executable, "-c", "from flows.cli.main import main; main()", "redirect", "--source", "synthetic"]
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run([*command, "--input", str(path)], env=environment, cwd=tmp_path, capture_output=True,
                          text=True, check=False, timeout=300)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "no readable HDF5 file, truncated" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_reports_each_part_as_json(monkeypatch, capsys):
    monkeypatch.setenv("GAZEWORKS_ASSETS", "")
    _, out, _ = gazeworks(monkeypatch, capsys, "doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)}
    assert {"cpu", "cuda", "numba", "gsplat", "face_landmarker", "store", "tracking"} <= set(findings)
    assert findings["numba"]["ok"]
    assert "GAZEWORKS_ASSETS" in findings["face_landmarker"]["detail"]


def commands(group=None, path=()):
    """Every command with its words."""
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


OUTPUTS = [
    (words, option) for words, command in commands() for option in command.params if option.name in ("out", "legacy")
]


@pytest.mark.parametrize(
    ("words", "option"), OUTPUTS, ids=lambda value: " ".join(value) if type(value) is tuple else None
)
def test_every_output_path_is_checked_before_work_begins(words, option):
    assert option.callback is not None, option.opts


def test_a_report_folder_that_is_a_file_is_refused_before_anything_is_read(monkeypatch, capsys, home, tmp_path):
    place = tmp_path / "out [me]"
    place.write_text("")
    code, out, err = gazeworks(monkeypatch, capsys, "redirect", "--input", "absent.mp4", "--out", place)
    assert (code, out) == (2, "")
    assert err == f"gazeworks: {place}: expected a folder that can be written to, but: there is a file; choose another " \
        "place for the results\n"  # fmt: skip
    assert not (home / "store").exists()


def test_help_keeps_text_in_brackets(monkeypatch, capsys):
    _, out, _ = gazeworks(monkeypatch, capsys, "synth", "--help")
    assert "gazeworks[synthesis]" in out


@pytest.mark.parametrize("name", ["clip [/b] #1.mp4", "clip [me] 100%.mp4", "Ä :smile: ?.mp4"])
def test_a_path_is_printed_as_it_is(monkeypatch, capsys, tmp_path, name):
    _, _, err = gazeworks(monkeypatch, capsys, "redirect", "--input", tmp_path / name)
    assert f"gazeworks: {tmp_path / name}: no such file or folder" in err


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (PermissionError(13, "Permission denied", "/x [a]"), "/x [a]: permission denied", 2),
        (IsADirectoryError(21, "Is a directory", "/x"), "/x: is a directory", 2),
        (OSError(36, "File name too long", "x"), "x: file name too long", 2),
        (OSError("Unable to open file\n(bad)"), "Unable to open file (bad)", 1),
        (OSError(28, "No space left on device"), "no space left on device", 1),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), "a name or a text is not UTF-8", 2),
    ],
)
def test_a_system_error_is_one_line(monkeypatch, capsys, error, line, code):
    def refuse():
        raise error

    monkeypatch.setattr(cli, "app", refuse)
    found, _, err = gazeworks(monkeypatch, capsys, "doctor")
    assert (found, err.count("\n")) == (code, 1)
    assert err.startswith(f"gazeworks: {line}")


def test_a_name_that_is_not_utf_8_is_refused(monkeypatch, capsys):
    code, _, err = gazeworks(monkeypatch, capsys, "redirect", "--input", "clip\udcff.mp4")
    assert (code, "expected a name in UTF-8" in err, err.count("\n")) == (2, True, 1)


def test_a_home_that_is_a_file_or_cannot_be_made_is_refused_before_work(monkeypatch, capsys, tmp_path):
    write_tiny_subject(tmp_path / "subject.h5", num_images=12)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/gazeworks")):
        monkeypatch.setenv("GAZEWORKS_HOME", str(place))
        arguments = ("redirect", "--source", "synthetic", "--input", tmp_path / "subject.h5", "--out", tmp_path / "out")
        code, _, err = gazeworks(monkeypatch, capsys, *arguments)
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith(f"gazeworks: {place}: expected a folder that can be written to")
        assert "set GAZEWORKS_HOME to a folder of yours" in err


def test_a_benchmark_is_recorded_as_json_prints_it(monkeypatch, capsys, tmp_path):
    from gaze_core.splat import benchmark
    from tasks.measurements import history

    monkeypatch.setattr(benchmark, "run", lambda report: {"rows": [{"forward_ms": 3.5}]})
    _, out, err = gazeworks(monkeypatch, capsys, "bench", "splat", "--json", "--record", tmp_path / "bench_splat")
    assert json.loads(out) == {"rows": [{"forward_ms": 3.5}]}, err
    (record,) = history(tmp_path / "bench_splat").values()
    assert record.values == json.loads(out)
    assert record.command == "gazeworks bench splat --json --record bench_splat"


def test_a_run_is_recorded_with_the_content_of_its_report(monkeypatch, capsys, tmp_path):
    import flows.redirection
    from tasks.measurements import history

    def ran(out, **_):
        out.mkdir()
        (out / "report.json").write_text(json.dumps({"psnr_db": 33.0, "artifacts": {}}))
        return flows.redirection.RedirectionResult(report=out / "report.html", verdict="equal", numbers={})

    ran.fn = flows.redirection.redirection.fn
    monkeypatch.setattr(flows.redirection, "redirection", ran)
    monkeypatch.setattr(cli, "prefect_server", lambda: contextlib.nullcontext(lambda: None))
    arguments = ("demo", "--preset", "tiny", "--out", tmp_path / "out", "--record", tmp_path / "demo")
    code, _, err = gazeworks(monkeypatch, capsys, *arguments)
    assert code == 0, err
    (record,) = history(tmp_path / "demo").values()
    assert record.values == {"psnr_db": 33.0}
    assert record.what == "demo, synthetic_128.h5"
    assert "evaluate.seed" in record.seeds


RECORDING = [
    ("demo",),
    ("redirect",),
    ("bench",),
    ("evaluate",),
    ("compare",),
    ("augment",),
    ("invert",),
    ("driver", "run"),
]


@pytest.mark.parametrize("words", RECORDING, ids=" ".join)
def test_measuring_commands_can_record_and_check_the_path_first(words):
    options = next(command.params for named, command in commands() if named == words)
    (option,) = [option for option in options if option.name == "record"]
    assert option.callback is not None


def test_an_error_of_opencv_is_one_line(monkeypatch, capsys):
    def fails(*_: object) -> None:
        cv2.cvtColor(np.zeros((0, 0), np.uint8), cv2.COLOR_BGR2RGB)

    monkeypatch.setattr(cli, "app", fails)
    code, _, err = gazeworks(monkeypatch, capsys)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert err.startswith("gazeworks: OpenCV: ")
