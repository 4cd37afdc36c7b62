"""The table: names that stay, values by their columns, whole rows after a kill."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gaze_core.preprocess.gaze_estimators import EyeGaze
from gaze_core.preprocess.gaze_reader import FaceReading
from gaze_core.preprocess.gaze_rows import RowWriter, rows_of
from gaze_core.preprocess.head_pose import Pose

# Programs of others read these names: they change with a new major version only.
HEADER = (
    "file,frame,time_s,face,gaze_camera_pitch_deg,gaze_camera_yaw_deg,gaze_head_pitch_deg,gaze_head_yaw_deg,gaze_sigma_deg,"
    "eye_openness_left,eye_openness_right,head_pitch_deg,head_yaw_deg,head_roll_deg,head_x_m,head_y_m,head_z_m,"
    "face_left_px,face_top_px,face_right_px,face_bottom_px,why_none"
)


def reading(gaze=None, face=0):
    points = np.tile([[100.0, 50.0], [180.5, 170.25]], (239, 1))
    pose = Pose(np.eye(3), np.array([0.01, -0.02, 0.5]))
    found = EyeGaze(np.deg2rad([3, -12]), np.deg2rad([1, -10]), np.deg2rad(8.0))
    return FaceReading(face, points, pose, gaze or found, np.array([0.31, 0.29]))


def test_the_names_of_the_columns_stay(tmp_path):
    with RowWriter(tmp_path):
        pass
    assert (tmp_path / "gaze.csv").read_text() == HEADER + "\n"
    with RowWriter(tmp_path, with_screen=True):
        pass
    assert (tmp_path / "gaze.csv").read_text() == HEADER + ",screen_x_px,screen_y_px\n"


def test_every_value_stands_in_its_column(tmp_path):
    rows = rows_of('a, "b".mp4', 7, 0.28, [reading(), reading(EyeGaze(why_none="eyes_closed"), 1)])
    with RowWriter(tmp_path) as writer:
        writer.write(rows)
        writer.write(rows_of("b.mp4", 8, None, [], "not_decodable"))
    seen, closed, none = csv.DictReader((tmp_path / "gaze.csv").open())
    assert seen == {
        "file": 'a, "b".mp4', "frame": "7", "time_s": "0.28", "face": "0", "gaze_camera_pitch_deg": "3.0",
        "gaze_camera_yaw_deg": "-12.0", "gaze_head_pitch_deg": "1.0", "gaze_head_yaw_deg": "-10.0", "gaze_sigma_deg": "8.0",
        "eye_openness_left": "0.31", "eye_openness_right": "0.29", "head_pitch_deg": "0.0", "head_yaw_deg": "0.0",
        "head_roll_deg": "0.0", "head_x_m": "0.01", "head_y_m": "-0.02", "head_z_m": "0.5", "face_left_px": "100.0",
        "face_top_px": "50.0", "face_right_px": "180.5", "face_bottom_px": "170.25", "why_none": "",
    }  # fmt: skip
    assert (closed["why_none"], closed["gaze_camera_yaw_deg"], closed["head_z_m"]) == ("eyes_closed", "", "0.5")
    assert (none["why_none"], none["face"], none["head_z_m"], none["time_s"]) == ("not_decodable", "", "", "")
    lines = [json.loads(line) for line in (tmp_path / "gaze.jsonl").read_text().splitlines()]
    assert lines[0]["gaze_camera_yaw_deg"] == -12.0
    assert lines[0]["why_none"] is None
    assert [",".join(line) for line in lines] == [HEADER] * 3


def test_a_run_that_fails_leaves_its_rows_under_another_name(tmp_path):
    def fail():
        with RowWriter(tmp_path) as writer:
            writer.write(rows_of("a.mp4", 0, 0.0, [reading()]))
            assert (tmp_path / "gaze.csv.partial").read_text().endswith("170.25,\n")  # at once
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert not (tmp_path / "gaze.csv").exists()
    assert len((tmp_path / "gaze.csv.partial").read_text().splitlines()) == 2


def test_a_killed_run_leaves_whole_rows(tmp_path):
    program = (
        "import sys; from pathlib import Path; from gaze_core.preprocess.gaze_rows import RowWriter, rows_of\n"
        "from tests.gaze_core.preprocess.test_gaze_rows import reading\n"
        "rows = rows_of('a.mp4', 0, 0.0, [reading()])\n"
        "with RowWriter(Path(sys.argv[1])) as writer:\n"
        "    while True: writer.write(rows)\n"
    )
    root = Path(__file__).parents[3]
    running = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=root)
    partial = tmp_path / "gaze.csv.partial"
    deadline_s = time.monotonic() + 60
    while (not partial.exists() or partial.stat().st_size < 20_000) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    text = partial.read_text()
    assert text.endswith("\n")
    assert len(text) >= 20_000
    rows = list(csv.DictReader(text.splitlines()))
    assert {(row["face"], row["face_bottom_px"]) for row in rows} == {("0", "170.25")}
    for line in (tmp_path / "gaze.jsonl.partial").read_text().splitlines():
        assert json.loads(line)["face"] == 0
