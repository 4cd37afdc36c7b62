"""Converted recordings: what is written is read, and what does not fit is refused."""

import pickle

import h5py
import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.estimation.recording_schema import LABELS
from gaze_core.estimation.recordings import Recording, RecordingWriter, read_index, write_index
from tests.gaze_core.estimation.made import INFO, block, write


def test_what_is_written_is_read(tmp_path):
    gaze = np.linspace(-1, 1, 20).reshape(10, 2).astype(np.float32)
    with RecordingWriter(tmp_path, INFO) as writer:
        writer.append(block(range(6)) | {"gaze_rad": gaze[:6]})
        writer.append(block(range(6, 10)) | {"gaze_rad": gaze[6:], "kind": np.full(4, 2)})
    recording = Recording(writer.path)
    assert writer.path.name == "train01__step007__basler.h5"
    assert len(recording) == 10
    assert recording.info == INFO
    np.testing.assert_array_equal(recording["gaze_rad"], gaze)
    np.testing.assert_array_equal(recording["kind"], [0] * 6 + [2] * 4)
    np.testing.assert_array_equal(recording.time_s, np.arange(10) / 60)
    assert np.isnan(recording["pog_px"]).all()
    assert {name: recording[name].shape[1:] for name in LABELS} == {name: LABELS[name][0] for name in LABELS}
    with h5py.File(writer.path) as file:  # readable without our code
        assert dict(file.attrs.items())["camera"] == "basler"
        np.testing.assert_allclose(file.attrs["screen_m"], [0.553, 0.311])
        assert file.attrs["screen_to_camera"].shape == (4, 4)


def test_images_come_in_the_order_in_which_they_are_asked_for(tmp_path):
    recording = Recording(write(tmp_path, range(100)))
    frames = [70, 3, 3, 99, 4, 0]
    assert recording.images("face", frames)[:, 0, 0, 0].tolist() == frames
    assert recording.images("right_eye", frames)[:, 0, 0].tolist() == [[n + 1, 1, 1] for n in frames]
    assert recording.images("left_eye", slice(5, 9))[:, 0, 0, 0].tolist() == [5, 6, 7, 8]
    assert recording.images("face", []).shape == (0, 16, 16, 3)


def test_a_recording_may_be_sent_to_another_process(tmp_path):
    recording = Recording(write(tmp_path))
    recording.images("face", [1])
    assert pickle.loads(pickle.dumps(recording)).images("face", [7])[0, 0, 0, 0] == 7


def fail_after_three_frames(folder):
    with RecordingWriter(folder, INFO) as writer:
        writer.append(block(range(3)))
        writer.append(block(range(3, 6)) | {"other": np.zeros(3)})


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    with pytest.raises(BadInput, match="unknown fields other"):
        fail_after_three_frames(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gaze": np.zeros((3, 2))}, "unknown fields gaze"),
        ({"gaze_rad": np.zeros((2, 2))}, r"gaze_rad should have shape \(3, 2\), found \(2, 2\)"),
        ({"face": np.zeros((3, 8, 8, 3), np.uint8)}, r"face should have shape \(3, 16, 16, 3\)"),
        ({"time_s": np.array([0, 0.1, 0.1])}, "times do not increase after frame 0"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(tmp_path, change, message):
    with pytest.raises(BadInput, match=message), RecordingWriter(tmp_path, INFO) as writer:
        writer.append(block(range(3)) | change)


def test_the_index_lists_what_is_there_and_what_is_not(tmp_path):
    write(tmp_path, range(5), valid=[True, False, True, True, False])
    write(tmp_path, range(3), INFO.model_copy(update={"participant": "val02", "split": "val"}))
    write_index(tmp_path, ["val03/step001_image_a: no basler.h5"])
    index = read_index(tmp_path)
    assert [(entry.file, entry.num_frames, entry.num_valid) for entry in index.recordings] == [
        ("train01__step007__basler.h5", 5, 3),
        ("val02__step007__basler.h5", 3, 3),
    ]
    assert [entry.info.participant for entry in index.of("val")] == ["val02"]
    assert index.problems == ("val03/step001_image_a: no basler.h5",)
    (tmp_path / "val02__step007__basler.h5").unlink()
    with pytest.raises(BadInput, match=r"val02__step007__basler.h5 is missing, of 1 files; convert again"):
        read_index(tmp_path)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no index.json; .*gazeworks estimate convert"):
        read_index(tmp_path)
    path = write(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"not a readable HDF5 file, truncated"):
        Recording(path)
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(BadInput, match=r"not a converted recording of version 1 \(found 99\)"):
        Recording(path)
