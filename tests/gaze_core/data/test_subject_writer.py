"""Each profile of the schema: a file of it is written, is valid, lacks nothing that its reader needs, and is told apart."""

import h5py
import numpy as np
import pytest

from gaze_core.data.schema import ATTRIBUTES, FIELDS, PROFILES
from gaze_core.data.subject_writer import SubjectWriter
from gaze_core.data.subjects import SubjectDataset, open_subject
from gaze_core.data.validation import require_valid, validate_file
from gaze_core.errors import BadInput
from tests.tiny_subject import write_tiny_subject

SIDES = {"estimation": {"eye_h": 6, "eye_w": 10}, "talker": {"steps": 16, "features": 29}}
EVERY = pytest.mark.parametrize("profile", list(PROFILES))
NUM_FRAMES = 4


@pytest.fixture
def redirection(tmp_path):
    return write_tiny_subject(tmp_path / "redirection.h5", num_images=NUM_FRAMES)


def write(path, profile, like):
    """A file of this profile with what it shares with the redirection file `like`, and neutral values else."""
    sides = SIDES.get(profile, {})
    with h5py.File(like) as file, SubjectWriter(path, 32, profile=profile, **sides) as writer:
        for index in range(NUM_FRAMES):
            row = {}
            for name, field in PROFILES[profile].fields.items():
                shape = tuple(sides.get(s, s) for s in field.shape)
                row[name] = file[name][index] if name in FIELDS else np.full(shape, 1, field.dtype)
                if name.endswith("eye_image"):
                    row[name][:] = 90
            writer.append(row)
        attributes = {name: file.attrs[name] for name in ATTRIBUTES}
        writer.describe(attributes | {"audio": {"extractor": "deepspeech", "rate_hz": 50}})
    return path


@EVERY
def test_a_file_of_each_profile_is_valid(profile, redirection, tmp_path):
    path = write(tmp_path / "subject.h5", profile, redirection)
    assert [str(fault) for fault in validate_file(path)] == []
    with open_subject(path, profile) as file:
        assert file.attrs.get("profile", "redirection") == profile
        assert ("audio" in file.attrs) == (profile == "talker")
        assert file["image"].chunks[0] == 1


@EVERY
def test_each_field_of_its_profile_is_required_and_none_of_another(profile, redirection, tmp_path):
    path = write(tmp_path / "subject.h5", profile, redirection)
    for name in PROFILES[profile].fields:
        with h5py.File(path, "a") as file:
            file.move(name, "aside")
        assert name in {fault.where for fault in validate_file(path)}
        with h5py.File(path, "a") as file:
            file.move("aside", name)
    with h5py.File(path, "a") as file:
        file["of_no_profile"] = np.zeros(2)
    assert validate_file(path) == []


@EVERY
def test_a_reader_of_another_profile_refuses_it(profile, redirection, tmp_path):
    path = write(tmp_path / "subject.h5", profile, redirection)
    other = "pairs" if profile == "redirection" else "redirection"
    with pytest.raises(BadInput, match=f"subject.h5: attribute profile: expected {other}, found {profile}"):
        open_subject(path, other)
    if profile != "redirection":
        with pytest.raises(BadInput, match="attribute profile: expected redirection"):
            SubjectDataset(path)
        with pytest.raises(BadInput, match="attribute profile: expected redirection"):
            require_valid(path)


@pytest.mark.parametrize(
    ("profile", "name", "value", "expected"),
    [
        ("estimation", "gaze_camera_eyes", np.nan, "finite numbers where valid/gaze_eyes is true"),
        ("estimation", "gaze_camera_eyes", 9.0, "radians"),
        ("estimation", "left_eye_image", 1, "not black"),
        ("estimation", "time_s", np.nan, "finite numbers"),
        ("talker", "audio_features", np.inf, "finite numbers"),
        ("talker", "expression_code", 2.0, "ARKit coefficients"),
        ("pairs", "gaze_camera", np.nan, "finite numbers where valid/gaze is true"),
        ("pairs", "landmarks_2d_px", np.nan, "finite numbers"),
    ],
)
def test_a_bad_value_of_a_profile_is_found(profile, name, value, expected, redirection, tmp_path):
    path = write(tmp_path / "subject.h5", profile, redirection)
    with h5py.File(path, "a") as file:
        file[name][2] = value
    (fault,) = validate_file(path)
    assert (fault.where, fault.found) == (name, "otherwise in 1 frame, first 2")
    assert expected in fault.expected


def test_an_eye_without_a_label_is_not_checked(redirection, tmp_path):
    path = write(tmp_path / "subject.h5", "estimation", redirection)
    with h5py.File(path, "a") as file:
        file["gaze_camera_eyes"][2, 1] = np.nan
        file["valid/gaze_eyes"][2, 1] = False
    assert validate_file(path) == []


def test_crops_of_two_sizes_are_named(redirection, tmp_path):
    path = write(tmp_path / "subject.h5", "estimation", redirection)
    with h5py.File(path, "a") as file:
        del file["right_eye_image"]
        file["right_eye_image"] = np.full((NUM_FRAMES, 6, 12, 3), 90, np.uint8)
    (fault,) = validate_file(path)
    assert fault.where == "right_eye_image"
    assert fault.found == "uint8 of shape (4, 6, 12, 3)"
