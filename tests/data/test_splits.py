import pytest
from pydantic import ValidationError

from gaze_core.data.splits import Splits, read_splits, split_video, split_with_held_out
from gaze_core.errors import BadInput, ContractViolation


def test_video_is_split_in_contiguous_blocks():
    splits = split_video("anna", list(range(100, 120)), validation_fraction=0.1, test_fraction=0.2)
    assert splits.train == tuple(range(100, 114))
    assert splits.validation == (114, 115)
    assert splits.test == tuple(range(116, 120))


def test_held_out_frames_are_the_test_and_the_rest_is_split_by_seed():
    first = split_with_held_out("s", range(20), [30, 31], 0.1, seed=1)
    again, other = (split_with_held_out("s", range(20), [30, 31], 0.1, seed=seed) for seed in (1, 2))
    assert first == again
    assert first.validation != other.validation
    assert sorted(first.seen) == list(range(20))
    assert first.test == (30, 31)


def test_overlap_is_refused():
    with pytest.raises(ValidationError, match="more than one split"):
        Splits(subject="s", train=(1, 2), validation=(3,), test=(2,))


def test_too_short_a_video_is_refused():
    with pytest.raises(BadInput, match="3 usable frames are too few"):
        split_video("s", [0, 1, 2], 0.1, 0.15)


def test_splits_are_read_never_invented(tmp_path):
    with pytest.raises(ContractViolation, match="run the preprocess stage"):
        read_splits(tmp_path / "splits.json")
