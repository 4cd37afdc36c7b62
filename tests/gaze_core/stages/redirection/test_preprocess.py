"""Subject files to a data set: one or several people, with the frames that are kept back."""

import h5py
import pytest

from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, read_splits
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.errors import BadInput
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import preprocess
from gaze_core.stages.redirection.preprocess import PreprocessConfig
from tests.tiny_subject import write_tiny_subject


def run(recording, work_dir, **config):
    work_dir.mkdir()
    produced = preprocess.run(PreprocessConfig(**config), {"recording": recording}, StageContext(Runtime(), work_dir))
    return produced, read_splits(work_dir / SPLITS_FILE).subjects


@pytest.fixture
def people(tmp_path):
    folder = tmp_path / "recording" / "people"
    folder.mkdir(parents=True)
    for name in ("anna", "bert"):
        write_tiny_subject(folder / f"{name}.h5", num_images=20, subject=name)
    return folder


def test_one_file_is_one_subject_with_the_frames_it_names(tmp_path):
    (tmp_path / "recording").mkdir()
    write_tiny_subject(tmp_path / "recording" / "any.h5", num_images=20)
    produced, (splits,) = run(tmp_path / "recording", tmp_path / "work")
    assert (splits.subject, splits.file, splits.test) == ("tiny", SUBJECT_FILE, tuple(range(15, 20)))
    assert set(produced.files) == {SUBJECT_FILE, SPLITS_FILE}


def test_a_folder_of_files_stays_several_people(people, tmp_path):
    produced, splits = run(people.parent, tmp_path / "work")
    assert [(one.subject, one.file) for one in splits] == [("anna", "anna.h5"), ("bert", "bert.h5")]
    assert produced.subjects["train"] == ("anna", "bert")
    assert produced.metrics["num_test"] == 10
    assert sum(produced.metrics.values()) == 40


def test_a_file_that_names_no_frame_has_some_kept_back_all_the_same(people, tmp_path):
    with h5py.File(people / "bert.h5", "r+") as file:
        file["held_out"][...] = False
    _, (anna, bert) = run(people.parent, tmp_path / "work")
    assert anna.test == tuple(range(15, 20))
    assert bert.test == (17, 18, 19)  # test_fraction of 20, the end of the recording


def test_nothing_but_named_frames_is_kept_back_where_all_are_wanted(people, tmp_path):
    with h5py.File(people / "bert.h5", "r+") as file:
        file["held_out"][...] = False
    _, (anna, bert) = run(people.parent, tmp_path / "work", keep_back=False)
    assert (len(anna.train), anna.validation, anna.test) == (15, (), tuple(range(15, 20)))
    assert (len(bert.train), bert.validation, bert.test) == (20, (), ())


def test_folders_that_hold_no_people_or_one_twice_are_refused(people, tmp_path):
    (tmp_path / "empty" / "photos").mkdir(parents=True)
    (tmp_path / "empty" / "photos" / "a.png").write_bytes(b"")
    with pytest.raises(BadInput, match="photos: a folder without subject files .* use source video"):
        run(tmp_path / "empty", tmp_path / "work")
    write_tiny_subject(people / "copy.h5", num_images=20, subject="anna")
    with pytest.raises(BadInput, match="subject anna stands in anna.h5, copy.h5; expected one file for each"):
        run(people.parent, tmp_path / "again")


def test_no_usable_frame_says_why_and_of_which_recording(people, tmp_path):
    with h5py.File(people / "bert.h5", "r+") as file:
        file["valid/gaze"][:15] = False
        file["valid/head_pose"][15:] = False
    with pytest.raises(
        BadInput, match=r"people: bert: no usable frame; left out: invalid_gaze: 15, invalid_head_pose: 5"
    ):
        run(people.parent, tmp_path / "work")


def test_subject_files_are_known_by_their_ending_however_it_is_written(people, tmp_path):
    (people / "bert.h5").rename(people / "bert.H5")
    _, splits = run(people.parent, tmp_path / "work")
    assert [one.file for one in splits] == ["anna.h5", "bert.h5"]
    write_tiny_subject(people / "bert.hdf5", num_images=20, subject="other")
    with pytest.raises(BadInput, match="two files of one name but for its ending"):
        run(people.parent, tmp_path / "again")
