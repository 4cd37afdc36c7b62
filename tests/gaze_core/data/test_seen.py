"""The data that a checkpoint has seen, and the refusal to evaluate on it."""

import h5py
import pytest

from gaze_core.data.people import Origin
from gaze_core.data.seen import Seen, require_unseen, seen_in_training, stretches
from gaze_core.data.splits import Splits
from gaze_core.errors import ContractViolation
from tests.tiny_subject import write_tiny_subject


def origin(frames, is_video=False):
    return Origin("synthetic/anna", tuple(frames), is_video)


def test_seen_photographs_are_single_frames_and_seen_video_frames_are_stretches():
    rows = [(0, 0), (2, 0), (4, 0), (6, 0), (8, 0)]
    assert stretches(origin(rows), [0, 1, 3]) == ((0, 0, 0), (0, 2, 2), (0, 6, 6))
    assert stretches(origin(rows, is_video=True), [0, 1, 3]) == ((0, 0, 2), (0, 6, 6))
    several_cameras = [(0, 3), (0, 5), (1, 3), (1, 5)]
    assert stretches(origin(several_cameras), [0, 2, 3]) == ((3, 0, 1), (5, 1, 1))


def test_frames_of_another_camera_or_person_are_unseen():
    seen = Seen(frames={"eth_xgaze/0012": ((3, 10, 20),)})
    assert seen.seen_frames("eth_xgaze/0012", [(10, 3), (20, 3), (21, 3), (15, 4)]) == [(10, 3), (20, 3)]
    require_unseen("the checkpoint", seen, "columbia/0012", [(10, 3)])
    require_unseen("the checkpoint", seen, "eth_xgaze/0012", [(9, 3), (10, 4)])
    with pytest.raises(
        ContractViolation, match=r"trained on 1 of the 2 test frames of eth_xgaze/0012 \(first: frame 10"
    ):
        require_unseen("the checkpoint", seen, "eth_xgaze/0012", [(9, 3), (10, 3)])


def test_a_person_seen_as_a_whole_is_refused_with_every_frame():
    seen = Seen(people=("synthetic/anna",)) | Seen(frames={"synthetic/bert": ((0, 1, 2),)})
    assert seen == Seen(people=("synthetic/anna",), frames={"synthetic/bert": ((0, 1, 2),)})
    assert (seen.has_seen("synthetic/anna"), seen.has_seen("synthetic/bert"), seen.has_seen("synthetic/carl")) == (
        True,
        True,
        False,
    )
    with pytest.raises(ContractViolation, match="the judge was trained on the person of synthetic/anna"):
        require_unseen("the judge", seen, "synthetic/anna", [(999, 9)])


def test_training_sees_frames_of_a_file_split_by_frames_and_people_of_a_split_by_subject(tmp_path):
    files = {name: write_tiny_subject(tmp_path / f"{name}.h5", 8, subject=name) for name in ("anna", "bert", "carl")}
    with h5py.File(files["anna"], "r+") as file:  # the number of the frame in its recording, not in the file
        file["frame_index"][...] = 100 + file["frame_index"][...]
    divided = Splits(subject="anna", train=(0, 1), validation=(2,), test=(3, 4))
    trained = Splits(subject="bert", train=(0, 1), validation=(), test=())
    tested = Splits(subject="carl", train=(), validation=(), test=(0, 1))
    seen = seen_in_training([(files["anna"], divided), (files["bert"], trained), (files["carl"], tested)])
    assert seen == Seen(people=("synthetic/bert",), frames={"synthetic/anna": ((0, 100, 101), (0, 102, 102))})


def test_a_card_without_seen_data_is_refused():
    with pytest.raises(ContractViolation, match="does not record what data it has seen; train it again"):
        Seen.of_card({"stage": "gaze_gaussian", "trained_on": {"anna": [0]}})
