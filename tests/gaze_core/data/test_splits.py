import json

import pytest
from pydantic import ValidationError

from gaze_core.data.published_splits import (
    COLUMBIA,
    ETH_XGAZE_PERSON_SPECIFIC,
    ETH_XGAZE_TRAIN,
    MPII_FACE_GAZE,
)
from gaze_core.data.splits import (
    DatasetSplits,
    Splits,
    SubjectSplits,
    read_splits,
    split_subjects,
    split_video,
    split_with_held_out,
    write_splits,
)
from gaze_core.errors import BadInput, ContractViolation


def video(subject, frames, validation=0.1, test=0.2, gap=0.0):
    return split_video(subject, list(frames), list(frames), gap, validation, test)


def test_video_is_split_in_contiguous_blocks():
    splits = video("anna", range(100, 120))
    assert splits.train == tuple(range(100, 114))
    assert splits.validation == (114, 115)
    assert splits.test == tuple(range(116, 120))


def test_blocks_of_a_video_lie_a_gap_apart_whatever_frames_it_lost():
    splits = video("anna", range(100, 200), gap=5)
    assert (splits.validation, splits.test) == (tuple(range(165, 175)), tuple(range(180, 200)))
    assert splits.train == tuple(range(100, 160))
    numbers = [n for n in range(100) if not 70 <= n < 80]  # dropped frames are a gap already
    splits = split_video("anna", range(90), numbers, 5.0, 0.1, 0.2)
    train, validation, test = ([numbers[i] for i in part] for part in (splits.train, splits.validation, splits.test))
    assert (test[0], test[-1]) == (82, 99)
    assert (train[-1], validation[0], validation[-1]) == (55, 61, 69)


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
        video("s", [0, 1, 2])


def test_a_missing_splits_file_is_refused(tmp_path):
    with pytest.raises(ContractViolation, match="run the preprocess stage"):
        read_splits(tmp_path / "splits.json")


NAMES = [f"{i:04d}" for i in range(20)]


def test_subjects_are_split_by_seed_and_not_by_the_order_they_come_in():
    splits = split_subjects("s", NAMES, ["9001", "9000"], seed=3)
    assert splits == split_subjects("s", reversed(NAMES), ["9000", "9001"], seed=3)
    assert (len(splits.train), len(splits.validation), splits.test) == (18, 2, ("9000", "9001"))
    assert sorted(splits.train + splits.validation) == NAMES
    assert len({split_subjects("s", NAMES, seed=seed).validation for seed in range(5)}) > 1


def test_there_is_no_validation_subject_only_with_fraction_zero():
    assert split_subjects("s", NAMES[:3]).validation != ()
    assert split_subjects("s", NAMES[:3], validation_fraction=0).validation == ()


def test_too_few_subjects_are_refused():
    for names in ([], ["a"]):
        with pytest.raises(BadInput, match="leave none for training"):
            split_subjects("s", names)


def test_a_subject_on_both_sides_is_refused_by_name():
    with pytest.raises(BadInput, match="0003, 0007: in both the development and the test set"):
        split_subjects("s", NAMES, ["0007", "0003", "9000"])
    with pytest.raises(ValidationError, match="more than one split"):
        SubjectSplits(source="s", train=("a",), validation=("a",), test=())


def test_published_subjects_are_complete_and_disjoint():
    counts = [len(names) for names in (ETH_XGAZE_TRAIN, ETH_XGAZE_PERSON_SPECIFIC, COLUMBIA, MPII_FACE_GAZE)]
    assert counts == [80, 15, 56, 15]
    assert not set(ETH_XGAZE_TRAIN) & set(ETH_XGAZE_PERSON_SPECIFIC)
    assert (ETH_XGAZE_TRAIN[0], ETH_XGAZE_TRAIN[-1]) == ("0000", "0111")
    assert (sum(map(int, ETH_XGAZE_TRAIN)), sum(map(int, ETH_XGAZE_PERSON_SPECIFIC))) == (4418, 1180)


def test_splits_are_written_with_a_digest_that_guards_them(tmp_path):
    path, splits = tmp_path / "splits.json", DatasetSplits(subjects=(video("anna", range(20)),))
    write_splits(path, splits)
    assert read_splits(path) == splits
    assert json.loads(path.read_text())["digest"] == splits.digest()
    path.write_text(path.read_text().replace("anna", "bert"))
    with pytest.raises(ContractViolation, match="changed since it was written"):
        read_splits(path)


def test_splits_without_a_digest_are_still_read(tmp_path):
    splits = DatasetSplits(subjects=(video("anna", range(20)),))
    (tmp_path / "splits.json").write_text(splits.model_dump_json())
    assert read_splits(tmp_path / "splits.json") == splits


@pytest.mark.parametrize("content", ["[]", "{", "{}", '"text"'])
def test_a_splits_file_of_another_form_is_refused(tmp_path, content):
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(ContractViolation, match="not a splits file"):
        read_splits(tmp_path / "splits.json")
