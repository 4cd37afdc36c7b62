"""`gazeworks data`: published files in, subject files out, and each mistake one line with exit code 2."""

import json

import h5py
import pytest

from tests.flows.cli.test_main import gazeworks
from tests.gaze_core.data.published import make_scenes, write_eth_xgaze
from tests.tiny_subject import write_tiny_subject


def test_a_published_file_becomes_a_subject_file_without_faults(monkeypatch, capsys, tmp_path):
    path, out = write_eth_xgaze(tmp_path / "subject0003.h5", make_scenes(3)), tmp_path / "out"
    code, printed, err = gazeworks(
        monkeypatch, capsys, "data", "convert", path, "--adapter", "eth_xgaze_hdf5", "--out", out
    )
    assert (code, printed.strip()) == (0, "subject0003: kept 3 frames"), err
    with h5py.File(out / "subject0003.h5") as file:
        assert file.attrs["source"] == "eth_xgaze"
        assert len(file["image"]) == 3


def test_validate_counts_faults_and_ends_with_2(monkeypatch, capsys, tmp_path):
    good = write_tiny_subject(tmp_path / "good.h5", num_images=4)
    assert gazeworks(monkeypatch, capsys, "data", "validate", good)[0] == 0
    bad = write_tiny_subject(tmp_path / "bad.h5", num_images=4)
    with h5py.File(bad, "a") as file:
        del file["gaze_head"]
        file["gaze_camera"][2] = float("nan")
    code, printed, _ = gazeworks(monkeypatch, capsys, "data", "validate", "--json", bad)
    result = json.loads(printed)
    assert code == 2
    assert result["errors"] >= 2
    assert {"gaze_head", "gaze_camera"} <= {fault["where"] for fault in result["files"][0]["faults"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", ".", "--adapter", "xgaze", "--out", "out"], "no adapter 'xgaze'; expected one of eth_xgaze_hdf5"),
        (["convert", "absent", "--adapter", "eth_xgaze_hdf5", "--out", "out"], "absent: no such file or folder"),
        (["preprocess", "eth_xgaze", "--images", ".", "--out", "out"], "needs --annotations"),
        (["preprocess", "mpii_face_gaze", "--images", "absent", "--out", "out"], "absent: expected a folder with p*"),
        (
            ["preprocess", "mpii_face_gaze", "--images", ".", "--out", "out", "--normalization", "mine"],
            "no normalisation 'mine'; expected one of portrait_128",
        ),
    ],
)
def test_mistakes_are_one_line(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = gazeworks(monkeypatch, capsys, "data", *arguments)
    assert (code, len(err.strip().splitlines())) == (2, 1), err
    assert message in err
    assert not (tmp_path / "out").exists()


def test_people_without_usable_frames_end_with_2_after_the_others_are_done(monkeypatch, capsys, tmp_path):
    for name in ("subject0001", "subject0003"):
        write_eth_xgaze(tmp_path / f"{name}.h5", make_scenes(2))
    with h5py.File(tmp_path / "subject0001.h5", "a") as file:
        file["face_patch"][...] = 0
    out = tmp_path / "out"
    arguments = ["convert", tmp_path, "--adapter", "eth_xgaze_hdf5", "--out"]
    code, printed, err = gazeworks(monkeypatch, capsys, "data", *arguments, tmp_path.parent / "out")
    assert (code, len(err.strip().splitlines())) == (2, 1), err
    assert "1 of 2 subjects gave no subject file" in err
    assert "no usable frame (blank_image: 2)" in printed
    assert "subject0003: kept 2 frames" in printed
    for inside in (tmp_path, out):
        code, _, err = gazeworks(monkeypatch, capsys, "data", *arguments, inside)
        assert (code, "lies inside the input" in err) == (2, True)
    with h5py.File(tmp_path / "subject0003.h5") as file:
        assert "face_patch" in file  # not written over


def test_the_output_folder_is_not_taken_for_a_person(monkeypatch, capsys, tmp_path):
    (tmp_path / "p00").mkdir()
    arguments = ["preprocess", "mpii_face_gaze", "--images", tmp_path, "--out", tmp_path / "prepared"]
    code, _, err = gazeworks(monkeypatch, capsys, "data", *arguments)
    assert (code, "lies inside the input" in err) == (2, True)
