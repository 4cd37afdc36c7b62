"""Crops in HDF5 files: a converted recording written and read again, and files of others without extras."""

import h5py
import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.estimation.conversion import ConvertConfig, convert, layout_of
from gaze_core.estimation.eve_crops import write_crops
from gaze_core.estimation.recordings import Recording
from tests.gaze_core.estimation.made import write

SMALL = ConvertConfig(face_px=16, eye_px=8)


def test_crops_that_are_written_are_read(tmp_path):
    gaze = np.linspace(-0.4, 0.4, 20).reshape(10, 2).astype(np.float32)
    first = Recording(
        write(tmp_path / "a", [0, 1, 2, 3, 4, 9, 10, 11, 12, 13], valid=[True] * 9 + [False], gaze_rad=gaze)
    )
    path = write_crops(first, tmp_path / "b")
    assert path == tmp_path / "b/train/participant_train01-step007/frames_basler.h5"
    assert layout_of(tmp_path / "b") == "eve_crops"
    index = convert(tmp_path / "b", tmp_path / "c", SMALL)
    assert index.problems == ()
    second = Recording(tmp_path / "c" / index.recordings[0].file)
    for name in ("gaze_rad", "time_s", "valid"):
        np.testing.assert_array_equal(second[name], first[name])
    for name in ("face", "left_eye", "right_eye"):
        np.testing.assert_array_equal(second.images(name, slice(None)), first.images(name, slice(None)))


def published(root, person="train01/participant_001", count=5, **changes):
    """A file as documented: four arrays and nothing else."""
    folder = root / person
    folder.mkdir(parents=True)
    fields = {
        "face": np.full((count, 224, 224, 3), 9, np.uint8), "leye": np.full((count, 112, 112, 3), 7, np.uint8),
        "reye": np.full((count, 112, 112, 3), 8, np.uint8), "gaze": np.full((count, 2), 0.1, np.float32),
    } | changes  # fmt: skip
    with h5py.File(folder / "frames_basler.h5", "w") as file:
        for name, value in fields.items():
            file[name] = value


def test_a_file_without_times_counts_as_consecutive(tmp_path):
    published(tmp_path / "eve")
    index = convert(tmp_path / "eve", tmp_path / "out", ConvertConfig())
    assert index.problems == ("train01/participant_001/basler: no times; its frames are taken as consecutive",)
    recording = Recording(tmp_path / "out/train01-participant_001__step000__basler.h5")
    np.testing.assert_allclose(recording.time_s, np.arange(5) / 60)
    assert recording.images("left_eye", [0])[0, 0, 0].tolist() == [7, 7, 7]
    assert recording.images("right_eye", [0])[0, 0, 0].tolist() == [8, 8, 8]
    assert recording.info.split == "train"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gaze": np.full((5, 2), 12.0)}, "none of 5 frames has a gaze in radians"),
        ({"gaze": np.full((4, 2), 0.1)}, "expected as many frames under each key"),
        ({"validity": np.zeros(5)}, "none of 5 frames has a valid label"),
        ({"leye": np.zeros((5, 112, 112), np.uint8)}, "leye should have shape"),
    ],
)
def test_a_broken_file_costs_one_line(tmp_path, change, message):
    published(tmp_path / "eve")
    published(tmp_path / "eve", "val01/participant_002", **change)
    (tmp_path / "eve/val01/participant_003").mkdir()
    index = convert(tmp_path / "eve", tmp_path / "out", ConvertConfig())
    assert [entry.info.participant for entry in index.recordings] == ["train01-participant_001"]
    assert any(line.startswith("val01/participant_002/basler: ") and message in line for line in index.problems)
    assert "val01/participant_003/basler: no frames_basler.h5; left out" in index.problems


def test_nothing_usable_is_an_error(tmp_path):
    published(tmp_path / "eve", gaze=np.full((5, 2), np.nan))
    with pytest.raises(BadInput, match="no recording could be used; the first problem is: train01/participant_001"):
        convert(tmp_path / "eve", tmp_path / "out", ConvertConfig())
