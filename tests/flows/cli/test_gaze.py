"""`gazeworks gaze` from the command line: tables and drawings of rendered faces, calibrations, bad input."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from gaze_core.preprocess.gaze_source import VideoFile
from gaze_core.preprocess.video_reader import open_video
from gaze_core.preprocess.video_writer import VideoWriter
from tests.flows.cli.test_main import gazeworks
from tests.gaze_core.preprocess.rendered_faces import rendered_face, side_by_side
from tests.numbered_video import write_numbered

ROOT = Path(__file__).parents[3]
CLICK_HEADER = "file,x_px,y_px\n"


@pytest.fixture
def assets(shared_data, monkeypatch):
    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))


@pytest.fixture
def folder(tmp_path):
    """Two photographs with a face, one with two, one with none, one that is no image."""
    out = tmp_path / "photos"
    out.mkdir()
    images = {
        "a.png": rendered_face(0), "b.png": rendered_face(5, 400),
        "c.png": side_by_side(rendered_face(0, 400), rendered_face(1, 560)), "d.png": np.full((200, 300, 3), 99, np.uint8),
    }  # fmt: skip
    for name, image in images.items():
        cv2.imwrite(str(out / name), image[:, :, ::-1])
    (out / "e.png").write_text("no image")
    return out


@pytest.fixture
def video(tmp_path):
    """Six frames of 480 px: a face in all but the last."""
    template = open_video(write_numbered(tmp_path / "numbers.mp4", 6))
    path = tmp_path / "face.mp4"
    with VideoWriter(path, template) as writer:
        for number in range(6):
            image = rendered_face(0, 480) if number < 5 else np.full((480, 480, 3), 99, np.uint8)
            writer.write(number, image)
    return path


def rows_in(folder):
    return list(csv.DictReader((folder / "gaze.csv").open()))


def test_photographs_give_a_row_a_face_and_a_drawing_each(monkeypatch, capsys, assets, folder, tmp_path):
    out = tmp_path / "out"
    code, printed, err = gazeworks(monkeypatch, capsys, "gaze", "--input", folder, "--out", out)
    assert code == 0, err
    assert "pictures: 5, faces: 4, with a gaze: 4" in printed
    assert "no_face: 1, unreadable_image: 1" in printed
    assert "focal length: assumed" in printed
    rows = rows_in(out)
    assert [(row["file"], row["face"], row["why_none"]) for row in rows] == [
        ("a.png", "0", ""), ("b.png", "0", ""), ("c.png", "0", ""), ("c.png", "1", ""), ("d.png", "", "no_face"),
        ("e.png", "", "unreadable_image"),
    ]  # fmt: skip
    assert len((out / "gaze.jsonl").read_text().splitlines()) == 6
    assert sorted(path.name for path in out.iterdir()) == [
        "a_gaze.png", "b_gaze.png", "c_gaze.png", "d_gaze.png", "gaze.csv", "gaze.jsonl"
    ]  # fmt: skip
    drawn, given = (cv2.imread(str(path)) for path in (out / "a_gaze.png", folder / "a.png"))
    assert drawn.shape == given.shape
    assert (drawn != given).any()


def test_a_video_gives_its_times_and_a_reason_where_there_is_no_face(monkeypatch, capsys, assets, video, tmp_path):
    out = tmp_path / "out"
    code, printed, err = gazeworks(monkeypatch, capsys, "gaze", "--input", video, "--out", out, "--json")
    assert code == 0, err
    assert json.loads(printed)["without"] == {"no_face": 1}
    rows = rows_in(out)
    assert [row["why_none"] for row in rows] == [""] * 5 + ["no_face"]
    np.testing.assert_allclose([float(row["time_s"]) for row in rows], open_video(video).times_s, atol=1e-6)
    assert open_video(out / "gaze.mp4").size_px == (480, 480)
    focal = ("--focal-px", 2 * 1.2 * 480, "--no-video", "--workers", 1)
    code, printed, err = gazeworks(monkeypatch, capsys, "gaze", "--input", video, "--out", tmp_path / "far", *focal)
    assert code == 0, err
    assert "assumed" not in printed
    assert not (tmp_path / "far" / "gaze.mp4").exists()
    ratio = float(rows_in(tmp_path / "far")[0]["head_z_m"]) / float(rows[0]["head_z_m"])
    assert ratio == pytest.approx(2, rel=0.05)


def test_clicks_give_points_on_the_screen_and_a_map_for_later(monkeypatch, capsys, assets, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for k in range(5):
        cv2.imwrite(str(photos / f"{k}.png"), rendered_face(7 * k)[:, :, ::-1])
    first = tmp_path / "first"
    code, _, err = gazeworks(monkeypatch, capsys, "gaze", "--input", photos, "--out", first, "--no-video")
    assert code == 0, err
    assert "screen_x_px" not in rows_in(first)[0]
    # A screen of 4000 px a metre in the camera's plane: where the reader's own sights meet it.
    sights = []
    for row in rows_in(first):
        pitch, yaw = (np.deg2rad(float(row[f"gaze_camera_{axis}_deg"])) for axis in ("pitch", "yaw"))
        v = np.array([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
        head = np.array([float(row[f"head_{axis}_m"]) for axis in "xyz"])
        sights.append(4000 * (head[:2] - v[:2] * head[2] / v[2]) + (800, 100))
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(CLICK_HEADER + "".join(f"{k}.png,{x},{y}\n" for k, (x, y) in enumerate(sights)))
    second, third = tmp_path / "second", tmp_path / "third"
    code, printed, err = gazeworks(
        monkeypatch, capsys, "gaze", "--input", photos, "--out", second, "--calibrate", clicks, "--no-video"
    )
    assert code == 0, err
    assert "clicks used: 5 of 5; error of a click that is left out: mean " in printed
    found = [[float(row["screen_x_px"]), float(row["screen_y_px"])] for row in rows_in(second)]
    np.testing.assert_allclose(found, sights, atol=3)  # angles have three decimals
    code, _, err = gazeworks(
        monkeypatch,
        capsys,
        "gaze",
        "--input",
        photos,
        "--out",
        third,
        "--calibrate",
        second / "screen_map.json",
        "--no-video",
    )
    assert code == 0, err
    assert (third / "gaze.csv").read_text() == (second / "gaze.csv").read_text()


def test_ctrl_c_says_where_the_rows_are(monkeypatch, capsys, assets, video, tmp_path):
    frames = VideoFile.pictures

    def stopped(self, wanted=None):
        for picture in frames(self, wanted):
            if wanted is None and picture.number == 3:
                raise KeyboardInterrupt
            yield picture

    monkeypatch.setattr(VideoFile, "pictures", stopped)
    out = tmp_path / "out"
    code, _, err = gazeworks(monkeypatch, capsys, "gaze", "--input", video, "--out", out)
    assert code == 130
    assert f"interrupted; what was read until now: {out / 'gaze.csv.partial'}" in err
    assert "checkpoint" not in err
    assert sorted(path.name for path in out.iterdir()) == ["gaze.csv.partial", "gaze.jsonl.partial"]
    assert len((out / "gaze.csv.partial").read_text().splitlines()) == 4


def test_a_source_without_a_readable_picture_is_refused(monkeypatch, capsys, assets, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.jpg"):
        (photos / name).write_text("no image")
    code, _, err = gazeworks(monkeypatch, capsys, "gaze", "--input", photos, "--out", tmp_path / "out")
    assert (code, "none of 2 pictures can be read: unreadable_image" in err) == (2, True)


def test_clicks_that_do_not_fit_are_refused(monkeypatch, capsys, assets, folder, video, tmp_path):
    clicks = tmp_path / "clicks.csv"
    for source, text, expected in (
        (folder, "file,x_px,y_px\na.png,1,2\nz.png,3,4\nb.png,5,6\n", "no photograph z.png in the input"),
        (folder, "file,x_px,y_px\na.png,1,2\nd.png,3,4\nb.png,5,6\n", "clicks with a gaze: 2, expected 3 or more"),
        (folder, "time_s,x_px,y_px\n1,2,3\n", "no column file"),
        (video, "time_s,x_px,y_px\n0,1,1\n0.1,2,2\n99,3,3\n", "a click at 99.0 s, but face.mp4 ends at"),
    ):
        clicks.write_text(text)
        out = tmp_path / "out"
        code, _, err = gazeworks(monkeypatch, capsys, "gaze", "--input", source, "--calibrate", clicks, "--out", out)
        assert (code, expected in err) == (2, True), err
        assert len([line for line in err.strip().splitlines() if "XNNPACK" not in line]) == 1
        assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--input", "absent.mp4"], "absent.mp4: no such file or folder; expected a video, a photograph"),
        (["--input", "{text}"], "notes.txt: not a readable video"),
        (["--input", "{empty}"], "no images in this folder"),
        (["--input", "{photos}", "--out", "{text}"], "expected a folder that can be written to"),
        (["--input", "{photos}", "--out", "{photos}/out"], "lies inside the input"),
        (["--input", "{photos}", "--camera", "{text}"], "notes.txt: no `intrinsics_px`"),
        (["--input", "{photos}", "--estimator", "iriss"], "--estimator iriss: expected landmarks, iris, openvino, or"),
        (["--input", "{photos}", "--estimator", "{text}"], "notes.txt: not a face estimator"),
        (["--input", "{photos}", "--focal-px", "-3"], "expected a number above 0"),
        (["--input", "{photos}", "--seconds", "3"], "only for --input camera"),
        (["--input", "camera", "--seconds", "1"], "no picture came from the first camera"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path, request, arguments, expected):
    if "camera" in arguments:
        if Path("/dev/video0").exists():
            pytest.skip("there is a camera")
        request.getfixturevalue("assets")
    (tmp_path / "notes.txt").write_text("plain words\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.zeros((9, 9, 3), np.uint8))
    names = {"text": tmp_path / "notes.txt", "empty": tmp_path / "empty", "photos": tmp_path / "photos"}
    monkeypatch.chdir(tmp_path)
    code, out, err = gazeworks(monkeypatch, capsys, "gaze", *[one.format(**names) for one in arguments])
    assert (code, expected in err) == (2, True), err
    assert len([line for line in err.strip().splitlines() if "XNNPACK" not in line]) == 1
    assert not out
    assert not (tmp_path / "gaze").exists()


def test_the_command_starts_without_prefect():
    """What it imports of `tasks`; `gaze_core` imports no Prefect by contract."""
    program = "import sys, flows.cli.main, tasks.environment, tasks.progress; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
