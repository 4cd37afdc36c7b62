"""Sets of frames: from memory or from files the same batches, in any order and by worker processes."""

import numpy as np
import pytest
import torch

from gaze_core.errors import BadInput
from gaze_core.estimation.frames import FrameSet, open_recordings, valid_frames
from gaze_core.estimation.pictures import PREDICTED, TARGET, gaze_picture
from gaze_core.estimation.recordings import Recording, write_index
from tests.gaze_core.estimation.made import INFO, write


@pytest.fixture
def recordings(tmp_path):
    for name, first in (("train01", 0), ("train02", 100)):
        info = INFO.model_copy(update={"participant": name})
        numbers = np.arange(first, first + 20)
        gaze = np.stack([numbers, -numbers], axis=1).astype(np.float32) / 1000
        write(tmp_path, numbers, info, gaze_rad=gaze)
    return open_recordings(tmp_path, write_index(tmp_path).recordings)


def test_batches_hold_the_frames_that_were_asked_for(recordings):
    frames = valid_frames(recordings, 4, None)
    assert [part.tolist() for part in frames] == [[0, 4, 8, 12, 16]] * 2
    kept, read = FrameSet(recordings, frames), FrameSet(recordings, frames, cache_bytes=0)
    order = [[7, 0, 0], [3], [9, 1]]
    for batches in (kept.batches(order), read.batches(order), read.batches(order, 1, "forkserver")):
        found = list(batches)
        assert [batch.face[:, 0, 0, 0].tolist() for batch in found] == [[108, 0, 0], [12], [116, 4]]
        assert found[0].gaze_rad.tolist() == pytest.approx(np.array([[108, -108], [0, 0], [0, 0]]) / 1000)
        assert found[0].sample_index.tolist() == [7, 0, 0]
    assert kept[[7]].images.face[0, 0, 0, 0] == pytest.approx(108 / 255)
    assert [len(batch) for batch in kept.in_order(4)] == [4, 4, 2]


def test_too_many_frames_are_thinned_evenly_over_all_recordings(recordings):
    assert [part.tolist() for part in valid_frames(recordings, 1, 4)] == [[0, 13], [6, 19]]


def test_recordings_of_different_sizes_are_refused(recordings, tmp_path):
    info = INFO.model_copy(update={"participant": "train03", "face_px": 8})
    other = write(tmp_path, range(3), info, face=np.zeros((3, 8, 8, 3), np.uint8))
    with pytest.raises(BadInput, match=r"train03.* crops of \(8, 8\) px, train01.*\(16, 8\) px"):
        open_recordings(tmp_path, write_index(tmp_path).recordings)
    assert other.is_file()
    with pytest.raises(BadInput, match="no usable frame"):
        FrameSet([Recording(recordings[0].path)], [np.zeros(0, np.int64)])


def test_arrows_point_where_the_gaze_goes_in_the_picture():
    picture = gaze_picture(np.full((24, 24, 3), 200, np.uint8), np.array([0.0, 0.4]), np.array([-0.4, 0.0]))
    rows, columns = np.nonzero((picture == PREDICTED).all(-1))
    assert columns.min() < 0.35 * picture.shape[1]  # yaw > 0: to the picture's left
    assert rows.max() < 0.56 * picture.shape[0]
    rows, columns = np.nonzero((picture == TARGET).all(-1))
    assert rows.max() > 0.65 * picture.shape[0]  # pitch < 0: down
    assert torch.tensor(columns.mean() / picture.shape[1]) == pytest.approx(0.5, abs=0.03)
