"""`gazeworks look`: mistakes are one line; a photograph's eyes are turned from the command line."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from gaze_core.preprocess.images import read_image
from tests.flows.cli.test_main import gazeworks
from tests.tiny_subject import write_tiny_subject


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.full((300, 300, 3), 120, np.uint8))
    return path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--gaze", "left"], "--gaze 'left': expected \"pitch,yaw\" in degrees"),
        (["--gaze", "0,20;0,10"], 'expected one "pitch,yaw", each within 60 degrees'),
        (["--gaze", "0,90"], 'expected one "pitch,yaw", each within 60 degrees'),
        (["--gaze", "0,nan"], 'expected one "pitch,yaw", each within 60 degrees'),
        (["--gaze", "0,20", "--head", "0,70"], "--head '0,70': expected one"),
        (["--gaze", "0,20", "--paste", "--head", "0,10"], "turns the eyes only and needs no model; leave out --head"),
        (["--gaze", "0,20", "--paste", "--checkpoint", "x"], "needs no model; leave out --checkpoint"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(monkeypatch, capsys, photo, tmp_path, home, arguments, expected):
    code, out, err = gazeworks(monkeypatch, capsys, "look", "--input", photo, *arguments, "--out", tmp_path / "out")
    assert code == 2, err
    assert expected in err
    assert len(err.strip().splitlines()) == 1
    assert not out
    assert not (home / "store").exists()


def test_an_absent_photo_a_subject_file_and_an_output_inside_the_input_are_refused(
    monkeypatch, capsys, photo, tmp_path
):
    def refused(path, out="out"):
        arguments = ("--gaze", "0,20", "--paste", "--out", tmp_path / out)
        code, _, err = gazeworks(monkeypatch, capsys, "look", "--input", path, *arguments)
        assert code == 2
        return err

    assert "absent.jpg: no such file or folder" in refused(tmp_path / "absent.jpg")
    assert "a subject file, expected a photograph or a video" in refused(write_tiny_subject(tmp_path / "s.h5", 4))
    (tmp_path / "photos").mkdir()
    photo.rename(tmp_path / "photos" / "photo.png")
    assert "lies inside the input" in refused(tmp_path / "photos", "photos/out")


@pytest.mark.usefixtures("prefect_api")
def test_a_folder_of_photos_is_pasted_and_what_cannot_be_is_named(
    monkeypatch, capsys, photo, tmp_path, shared_data
):  # fmt: skip
    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    frames = cv2.VideoCapture(str(shared_data / "portrait_pexels.mp4"))
    frames.set(cv2.CAP_PROP_POS_FRAMES, 300)
    decoded, frame = frames.read()
    if not decoded:
        pytest.skip("the portrait has no frame 300")
    folder = tmp_path / "photos"
    folder.mkdir()
    photo.rename(folder / "empty.png")
    profile = b"\0" * 16 + b"RGB " + b"\0" * 108
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    turned = Image.fromarray(np.ascontiguousarray(frame[..., ::-1])).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "portrait.jpg", quality=95, icc_profile=profile, exif=exif)
    arguments = ("--gaze", "0,0", "--paste", "--out", tmp_path / "out", "--json")
    code, out, err = gazeworks(monkeypatch, capsys, "look", "--input", folder, *arguments)
    assert code == 0, err
    printed = json.loads(out)
    assert printed == json.loads((tmp_path / "out" / "look.json").read_text())
    assert "empty.png: no face was found" in printed["empty"]["fault"]
    assert printed["portrait"]["asked_deg"] == [0.0, 0.0]
    assert printed["portrait"]["readings"]["iris"]["way"] > 0.5
    result, before = Image.open(tmp_path / "out" / "portrait_look.png"), read_image(folder / "portrait.jpg")
    assert result.info["icc_profile"] == profile
    assert not result.getexif()
    assert np.asarray(result).shape == before.shape == (360, 640, 3)
    changed = (np.asarray(result) != before).any(axis=-1)
    assert 0.002 < changed.mean() < 0.05
