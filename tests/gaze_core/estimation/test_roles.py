"""Who trains, who chooses the weights and who is measured."""

import pytest

from gaze_core.errors import BadInput
from gaze_core.estimation.recordings import IndexEntry, RecordingIndex
from gaze_core.estimation.roles import roles_of
from tests.gaze_core.estimation.made import INFO


def index(*people, num_valid=5):
    """An index of recordings, each given as participant, and optionally step and camera."""
    entries = []
    for text in people:
        name, step, camera = (*text.split(":"), "step001", "basler")[:3] if ":" not in text else text.split(":")
        split = name.rstrip("0123456789")
        info = INFO.model_copy(update={"participant": name, "split": split, "step": step, "camera": camera})
        count = 0 if split == "test" and num_valid == 0 else 5
        entries.append(IndexEntry(file=f"{info.name}.h5", info=info, num_frames=9, num_valid=count))
    return RecordingIndex(recordings=tuple(entries))


def people(roles):
    return [roles.participants(role) for role in ("train", "validation", "test")]


def test_each_split_has_its_role():
    roles = roles_of(index("train01", "train02", "val01", "test01"))
    assert people(roles) == [("train01", "train02"), ("val01",), ("test01",)]
    assert roles.notes == ()


def test_where_the_labels_of_the_test_are_withheld_the_validation_is_measured():
    many = [f"train{n:02}" for n in range(1, 18)]
    roles = roles_of(index(*many, "val01", "test01", num_valid=0))
    assert roles.participants("test") == ("val01",)
    assert roles.participants("validation") == ("train08", "train16")
    assert set(roles.participants("train")) == set(many) - {"train08", "train16"}
    assert len(roles.notes) == 2


def test_of_one_person_the_last_recording_chooses():
    roles = roles_of(index("train01:step001:basler", "train01:step002:basler", "val01:step001:basler"))
    assert [entry.info.step for entry in roles.train] == ["step001"]
    assert [entry.info.step for entry in roles.validation] == ["step002"]
    assert roles.participants("test") == ("val01",)


def test_cameras_are_chosen_and_unknown_ones_named():
    both = index(
        "train01:step001:basler", "train01:step001:webcam_c", "val01:step001:webcam_c", "test01:step001:webcam_c"
    )
    roles = roles_of(both, ("webcam_c",))
    assert {entry.info.camera for entry in roles.train} == {"webcam_c"}
    with pytest.raises(BadInput, match="no recording of camera webcam_l; there are: basler, webcam_c"):
        roles_of(both, ("webcam_l",))


def test_too_few_people_are_refused_with_counts():
    with pytest.raises(
        BadInput, match=r"no recording is left to train; .*found recordings train: 1, val: 0, test: 1, 2 of"
    ):
        roles_of(index("train01", "test01"))
