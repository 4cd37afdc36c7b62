"""Subject files to a data set: one or several people, with the frames that are held out."""

import json

import cv2
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


def run(recording, work_dir, test=None, **config):
    work_dir.mkdir()
    inputs = {"recording": recording, "test": test}
    produced = preprocess.run(PreprocessConfig(**config), inputs, StageContext(Runtime(), work_dir))
    return produced, read_splits(work_dir / SPLITS_FILE).subjects


@pytest.fixture
def people(tmp_path):
    folder = tmp_path / "recording" / "people"
    folder.mkdir(parents=True)
    for name in ("anna", "bert", "carl"):
        write_tiny_subject(folder / f"{name}.h5", num_images=20, subject=name)
    return folder


def test_one_file_is_one_subject_with_the_frames_it_names(tmp_path):
    (tmp_path / "recording").mkdir()
    write_tiny_subject(tmp_path / "recording" / "any.h5", num_images=20)
    produced, (splits,) = run(tmp_path / "recording", tmp_path / "work")
    assert (splits.subject, splits.file, splits.test) == ("tiny", SUBJECT_FILE, tuple(range(15, 20)))
    assert set(produced.files) == {SUBJECT_FILE, SPLITS_FILE}


def parts_of(splits):
    """The number of frames by role and subject."""
    return {
        role: {one.subject: len(getattr(one, role)) for one in splits if getattr(one, role)}
        for role in ("train", "validation", "test")
    }


def test_people_of_a_folder_are_split_by_subject_without_overlap(people, tmp_path):
    produced, splits = run(people.parent, tmp_path / "work")
    assert [(one.subject, one.file) for one in splits] == [(n, f"{n}.h5") for n in ("anna", "bert", "carl")]
    sides = parts_of(splits)
    assert [len(side) for side in sides.values()] == [1, 1, 1]
    assert len(set().union(*sides.values())) == 3
    assert {role: tuple(side) for role, side in sides.items()} == produced.subjects
    assert list(sides["test"].values()) == [20]  # all frames of test subjects
    assert list(sides["train"].values()) == [15]  # without the frames that the file itself holds out
    assert len({tuple(parts_of(run(people.parent, tmp_path / f"{n}", seed=n)[1])["train"]) for n in range(8)}) > 1


def test_given_test_people_are_the_only_ones_and_the_others_are_split_nine_to_one(people, tmp_path):
    for number in range(17):
        write_tiny_subject(people / f"p{number}.h5", num_images=4, subject=f"p{number}")
    others = tmp_path / "others" / "test"
    others.mkdir(parents=True)
    write_tiny_subject(others / "anna.h5", num_images=4, subject="zoe")  # the file name does not identify the person
    produced, splits = run(people.parent, tmp_path / "work", others.parent)
    sides = parts_of(splits)
    assert [len(side) for side in sides.values()] == [18, 2, 1]
    assert sides["test"] == {"zoe": 4}
    assert {"anna.h5", "test_anna.h5"} <= set(produced.files)
    write_tiny_subject(others / "bert.h5", num_images=4, subject="bert")
    with pytest.raises(BadInput, match="subject bert is in bert.h5, test_bert.h5"):
        run(people.parent, tmp_path / "again", others.parent)


def test_too_few_people_are_refused_with_what_is_needed(people, tmp_path):
    (people / "carl.h5").unlink()
    with pytest.raises(BadInput, match=r"2 subject files, of which 1 are left .* needs 3, or 2 and .*--test"):
        run(people.parent, tmp_path / "work")


def test_all_frames_are_the_test_where_nothing_is_trained(people, tmp_path):
    produced, splits = run(people.parent, tmp_path / "work", use="test")
    assert parts_of(splits) == {"train": {}, "validation": {}, "test": dict.fromkeys(("anna", "bert", "carl"), 20)}
    assert produced.subjects["train"] == ()


def test_a_file_without_held_out_frames_gets_held_out_blocks_with_gaps_between_them(tmp_path):
    (tmp_path / "recording").mkdir()
    path = write_tiny_subject(tmp_path / "recording" / "any.h5", num_images=60)
    with h5py.File(path, "r+") as file:
        file["held_out"][...] = False
    _, (splits,) = run(tmp_path / "recording", tmp_path / "work")
    # Nine of 60 for the test, six for validation; the gap is a twentieth, as a second would take half of it.
    assert (splits.validation, splits.test) == (tuple(range(42, 48)), tuple(range(51, 60)))
    assert splits.train == tuple(range(39))
    _, (touching,) = run(tmp_path / "recording", tmp_path / "again", gap_s=0)
    assert sorted((*touching.train, *touching.validation, *touching.test)) == list(range(60))
    with h5py.File(path, "r+") as file:  # every fifth frame of a video: 1 s is 25 frames, 5 samples
        file["frame_index"][...] = 5 * file["frame_index"][...]
        file.attrs["provenance"] = json.dumps({"frames_per_s": 2.0})
    _, (sparse,) = run(tmp_path / "recording", tmp_path / "sparse")
    assert sparse.validation[0] - sparse.train[-1] == 1  # two frames of the video lie between neighbours anyway


def as_recording(folder, num_images, frames_per_s=10.0):
    """A subject file as preprocessing makes it of a video."""
    folder.mkdir()
    with h5py.File(write_tiny_subject(folder / "ann.h5", num_images=num_images), "r+") as file:
        file["held_out"][...] = False
        file.attrs["source"] = "video"
        file.attrs["provenance"] = json.dumps({"frames_per_s": frames_per_s})
    return folder


def test_a_recording_is_held_out_in_interleaved_blocks_and_at_its_end(tmp_path):
    produced, (splits,) = run(as_recording(tmp_path / "in", 90), tmp_path / "work")
    assert splits.last_block == tuple(range(81, 90))
    assert min(splits.train) < min(splits.test) < max(splits.test) < max(splits.train) < 81 - 1
    assert not {frame + step for frame in (*splits.test, *splits.last_block) for step in (-1, 1)} & splits.seen
    assert produced.subjects["last_block"] == ("tiny",)
    assert produced.metrics["num_last_block"] == 9
    assert split_named(splits) < 90  # the gaps are in none


def split_named(splits):
    return sum(len(getattr(splits, role)) for role in ("train", "validation", "test", "last_block"))


def test_a_short_recording_is_held_out_at_its_end_only(tmp_path):
    produced, (splits,) = run(as_recording(tmp_path / "in", 40), tmp_path / "work")
    assert (splits.test, splits.last_block) == (tuple(range(34, 40)), ())
    assert "last_block" not in produced.subjects


def test_nothing_but_named_frames_is_kept_back_where_all_are_wanted(people, tmp_path):
    with h5py.File(people / "bert.h5", "r+") as file:
        file["held_out"][...] = False
    _, (anna, bert, _) = run(people.parent, tmp_path / "work", keep_back=False)
    assert (len(anna.train), anna.validation, anna.test) == (15, (), tuple(range(15, 20)))
    assert (len(bert.train), bert.validation, bert.test) == (20, (), ())


def test_folders_that_hold_no_people_or_one_twice_are_refused(people, tmp_path):
    (tmp_path / "empty" / "photos").mkdir(parents=True)
    (tmp_path / "empty" / "photos" / "a.png").write_bytes(b"")
    with pytest.raises(BadInput, match="photos: a folder without subject files .* use source video"):
        run(tmp_path / "empty", tmp_path / "work")
    write_tiny_subject(people / "copy.h5", num_images=20, subject="anna")
    with pytest.raises(BadInput, match="subject anna is in anna.h5, copy.h5; expected one file for each"):
        run(people.parent, tmp_path / "again")


def test_a_file_with_errors_is_refused_by_its_name(tmp_path):
    (tmp_path / "in").mkdir()
    with h5py.File(write_tiny_subject(tmp_path / "in" / "ann.h5", num_images=4), "a") as file:
        file["gaze_camera"][1] = float("nan")
    with pytest.raises(BadInput, match=r"^ann\.h5: gaze_camera: expected finite numbers .* first 1"):
        run(tmp_path / "in", tmp_path / "work")


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
    assert [one.file for one in splits] == ["anna.h5", "bert.h5", "carl.h5"]
    write_tiny_subject(people / "bert.hdf5", num_images=20, subject="other")
    with pytest.raises(BadInput, match="two files of one name but for its ending"):
        run(people.parent, tmp_path / "again")


def test_a_photo_with_closed_eyes_is_refused_with_the_reason(shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    capture = cv2.VideoCapture(str(shared_data / "portrait_pexels.mp4"))
    for _ in range(11):  # her eyes are closed in frame 10
        decoded, frame = capture.read()
    if not decoded:
        pytest.skip("the portrait has no frame 10")
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "photo.png"), frame)
    with pytest.raises(BadInput, match=r"photo\.png: no image whose gaze can be read \(invalid_gaze: 1\); give one"):
        run(tmp_path / "in", tmp_path / "work", source="video", keep_back=False)
