"""Each fault is put into a good file by hand, and must be found, alone, where it was put."""

import json
from math import pi

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from flows.cli.data import app
from gaze_core.data.schema import FIELDS, OPTIONAL_FIELDS
from gaze_core.data.validation import validate_file
from gaze_core.errors import BadInput
from gaze_core.geometry.rotations import matrix_from_axis_angle
from gaze_core.synthesis.packs import pack_path
from tests.tiny_subject import write_tiny_subject

NUM_IMAGES = 6


@pytest.fixture
def subject(tmp_path):
    return write_tiny_subject(tmp_path / "subject.h5", num_images=NUM_IMAGES)


def refill(file, name, values):
    """Another array under this name."""
    del file[name]
    file[name] = values


def test_a_good_file_has_no_fault(subject):
    assert validate_file(subject) == []


def test_the_shipped_subject_has_no_fault():
    assert validate_file(pack_path("synthetic_128")) == []


def set_value(name, frames, value):
    def change(file):
        values = file[name][:]
        values[frames] = value
        file[name][...] = values

    return change


def turn_head(file):
    pose = file["head_to_world"][5]
    tilt = np.eye(4)
    tilt[:3, :3] = matrix_from_axis_angle(torch.tensor([0.0, np.deg2rad(0.3), 0.0])).numpy()
    file["head_to_world"][5] = tilt @ pose


CONTENT_FAULTS = [
    (set_value("gaze_head_eyes", 2, np.nan), "gaze_head_eyes", "finite numbers where valid/gaze", 1, 2),
    (set_value("landmarks_2d_px", [1, 3], np.inf), "landmarks_2d_px", "finite numbers", 2, 1),
    (set_value("gaze_head_eyes", 3, [1.7, 0.0]), "gaze_head_eyes", "pitch in [-pi/2, pi/2]", 1, 3),
    (set_value("gaze_head_eyes", 3, [0.0, -3.2]), "gaze_head_eyes", "yaw in [-pi, pi]", 1, 3),
    (set_value("world_to_camera", 1, 1.001 * np.eye(4)), "world_to_camera", "a rotation", 1, 1),
    (set_value("intrinsics_px", 0, np.diag([-70, 70, 1])), "intrinsics_px", "positive focal lengths", 1, 0),
    (set_value("intrinsics_px", 0, np.diag([70, 0, 1])), "intrinsics_px", "positive focal lengths", 1, 0),
    (set_value("expression_code", 5, 1.2), "expression_code", "coefficients in [0, 1]", 1, 5),
    (set_value("observed_mask", [2, 4], 1), "observed_mask", "0 and 255 only", 2, 2),
    (set_value("head_mask", [0, 5], 0), "head_mask", "a head; samples without one are dropped", 2, 0),
    (set_value("left_eye_mask", 3, 0), "left_eye_mask", "where valid/left_eye is true", 1, 3),
    (set_value("right_eye_mask", 3, 0), "right_eye_mask", "where valid/right_eye is true", 1, 3),
    (turn_head, "gaze_head", "the direction of gaze_camera, within 0.1 degrees", 1, 5),
]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.dtype == "float32"])
def test_a_number_that_is_not_finite_is_one_fault_in_every_label(subject, name, value):
    with h5py.File(subject, "a") as file:
        values = file[name][:]
        values[1].flat[-1] = value
        file[name][...] = values
    (fault,) = validate_file(subject)
    assert (fault.where, fault.found) == (name, "otherwise in 1 frame, first 1")
    assert fault.expected.startswith("finite numbers")


@pytest.mark.parametrize(("change", "where", "expected", "count", "first"), CONTENT_FAULTS)
def test_a_bad_value_is_found_with_its_count_and_its_first_frame(subject, change, where, expected, count, first):
    with h5py.File(subject, "a") as file:
        change(file)
    (fault,) = validate_file(subject)
    assert (fault.where, fault.severity) == (where, "error")
    assert expected in fault.expected
    assert fault.found.endswith(f"in {count} frame{'s' if count > 1 else ''}, first {first}")


def test_a_mirrored_head_pose_is_no_rotation(subject):
    with h5py.File(subject, "a") as file:
        pose = file["head_to_world"][4]
        pose[:3, 0] *= -1
        file["head_to_world"][4] = pose
        file["valid/gaze"][4] = False  # the gaze, which no longer fits, is not the point here
    (fault,) = validate_file(subject)
    assert fault.where == "head_to_world"
    assert "determinant +1" in fault.expected


def test_landmarks_far_outside_are_a_warning_and_those_near_the_border_nothing(subject):
    with h5py.File(subject, "a") as file:
        set_value("landmarks_2d_px", 1, -15.9)(file)  # the image is 32 px wide
    assert validate_file(subject) == []
    with h5py.File(subject, "a") as file:
        set_value("landmarks_2d_px", 1, 48.1)(file)
    (fault,) = validate_file(subject)
    assert (fault.where, fault.severity) == ("landmarks_2d_px", "warning")


def test_values_whose_flag_is_false_are_not_judged(subject):
    with h5py.File(subject, "a") as file:
        for name in ("gaze_camera", "gaze_head", "gaze_head_eyes", "head_to_world", "identity_code", "expression_code"):
            set_value(name, 2, np.nan)(file)
        for name in ("landmarks_3d_head_m", "eye_centers_head_m"):
            set_value(name, 2, np.nan)(file)
        set_value("left_eye_mask", 2, 0)(file)
        for name in FIELDS:
            if name.startswith("valid/"):
                file[name][2] = False
    assert validate_file(subject) == []


def test_yaw_of_exactly_pi_is_allowed(subject):
    with h5py.File(subject, "a") as file:
        set_value("gaze_head_eyes", 0, [pi / 2, -pi])(file)
    assert validate_file(subject) == []


@pytest.mark.parametrize(
    ("name", "value", "where", "found"),
    [
        ("schema_version", 99, "attribute schema_version", "99"),
        ("schema_version", "one", "attribute schema_version", "one"),
        ("subject", 7, "attribute subject", "7"),
        ("source", "", "attribute source", "''"),
        ("label_source", "guess", "attribute label_source", "'guess'"),
        ("normalization", "{size", "attribute normalization", "'{size' (Expecting property name"),
        ("provenance", "[1]", "attribute provenance", "'[1]'"),
        ("provenance", 3, "attribute provenance", "'3' (the JSON object must be str"),
        ("dropped", '{"empty_head_mask": -1}', "attribute dropped", "-1"),
    ],
)
def test_a_bad_attribute_is_named(subject, name, value, where, found):
    with h5py.File(subject, "a") as file:
        file.attrs[name] = value
    (fault,) = validate_file(subject)
    assert fault.where == where
    assert found in fault.found


def test_fields_of_another_form_are_named(subject):
    with h5py.File(subject, "a") as file:
        refill(file, "gaze_head", np.zeros((NUM_IMAGES, 3), "float32"))
        refill(file, "gaze_camera", np.zeros((NUM_IMAGES, 2), "float64"))
        refill(file, "valid/gaze", np.ones((NUM_IMAGES, 1), bool))
        refill(file, "head_mask", np.full((NUM_IMAGES, 16, 32), 255, "uint8"))
        del file["frame_index"]
        del file["camera_index"]
        file.create_group("camera_index")
    found = {fault.where: fault.found for fault in validate_file(subject)}
    assert found == {
        "gaze_head": "float32 of shape (6, 3)",
        "gaze_camera": "float64 of shape (6, 2)",
        "valid/gaze": "bool of shape (6, 1)",
        "head_mask": "uint8 of shape (6, 16, 32)",
        "frame_index": "none",
        "camera_index": "a group of that name",
    }


def test_fields_that_end_early_are_named_and_still_checked(subject):
    with h5py.File(subject, "a") as file:
        intrinsics = file["intrinsics_px"][:4]
        intrinsics[3] = 0
        refill(file, "intrinsics_px", intrinsics)
    ended, bad = validate_file(subject)
    assert (ended.where, ended.expected, ended.found) == ("intrinsics_px", "6 frames, as in the other fields", "4")
    assert bad.found == "otherwise in 1 frame, first 3"


def test_a_file_without_frames_is_a_fault(subject):
    with h5py.File(subject, "a") as file:
        for name in (*FIELDS, "held_out"):
            refill(file, name, file[name][:0])
    (fault,) = validate_file(subject)
    assert (fault.where, fault.expected) == ("file", "at least one frame")


def test_a_stored_area_must_be_that_of_the_mask(subject):
    with h5py.File(subject, "a") as file:
        file["head_area_px"] = (file["head_mask"][:] > 0).sum(axis=(1, 2)).astype("int32")
    assert validate_file(subject) == []
    with h5py.File(subject, "a") as file:
        file["head_area_px"][4] += 1
    (fault,) = validate_file(subject)
    assert fault.where == "head_area_px"
    assert "first 4" in fault.found


def test_all_faults_are_listed_at_once(subject):
    with h5py.File(subject, "a") as file:
        del file.attrs["source"]
        file.attrs["schema_version"] = 99
        file.attrs["dropped"] = "{"
        del file["identity_code"]
        refill(file, "camera_index", np.zeros(NUM_IMAGES, "int64"))
        for change, *_ in CONTENT_FAULTS:
            change(file)
    faults = validate_file(subject)
    assert {fault.where for fault in faults} >= {
        "attribute source", "attribute schema_version", "attribute dropped", "identity_code", "camera_index",
        *(where for _, where, *_ in CONTENT_FAULTS),
    }  # fmt: skip
    assert len(faults) == len({(fault.where, fault.expected) for fault in faults})


def write_compressed(path, compression):
    """The same subject with one compressed chunk for each frame of a picture, as recordings are stored."""
    whole = write_tiny_subject(path.with_name("whole.h5"), num_images=NUM_IMAGES)
    with h5py.File(whole) as source, h5py.File(path, "w") as file:
        file.attrs.update(source.attrs)
        for name, field in FIELDS.items():
            packed = {"chunks": (1, *source[name].shape[1:]), "compression": compression} if "h" in field.shape else {}
            file.create_dataset(name, data=source[name][:], **packed)
    return path


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_damaged_frames_are_counted_for_each_field_and_the_rest_is_checked(tmp_path, compression):
    path = write_compressed(tmp_path / "subject.h5", compression)
    with h5py.File(path, "a") as file:
        file["head_mask"][5] = 0
        damaged = [file[name].id.get_chunk_info(i) for name, i in (("image", 2), ("image", 4), ("observed_mask", 2))]
    with path.open("r+b") as raw:
        for chunk in damaged:
            raw.seek(chunk.byte_offset)
            raw.write(b"\xff" * chunk.size)
    found = {fault.where: fault.found for fault in validate_file(path)}
    assert found == {
        "image": "damaged or truncated data in 2 frames, first 2",
        "observed_mask": "damaged or truncated data in 1 frame, first 2",
        "head_mask": "otherwise in 1 frame, first 5",
    }


def test_a_file_that_was_cut_lists_what_each_field_has_lost(tmp_path):
    whole, path = write_tiny_subject(tmp_path / "whole.h5", num_images=NUM_IMAGES), tmp_path / "subject.h5"
    with h5py.File(whole) as source, h5py.File(path, "w") as file:
        file.attrs.update(source.attrs)
        for name in FIELDS:
            packed = {"chunks": (1, 32, 32, 3), "compression": "gzip"} if name == "image" else {}
            file.create_dataset(name, source[name].shape, source[name].dtype, **packed)
        for name in (*(name for name in FIELDS if name not in ("image", "head_mask")), "image", "head_mask"):
            file[name][:] = source[name][:]
        file.flush()
        chunk = file["image"].id.get_chunk_info(4)
        mask_start = file["head_mask"].id.get_offset()
    assert mask_start > chunk.byte_offset
    data = path.read_bytes()
    for size, expected in (
        (mask_start + 2 * 32 * 32 + 5, {"head_mask": "damaged or truncated data in 4 frames, first 2"}),
        (chunk.byte_offset + 1, {
            "image": "damaged or truncated data in 2 frames, first 4",
            "head_mask": "damaged or truncated data in 6 frames, first 0",
        }),
    ):  # fmt: skip
        path.write_bytes(data[:size])
        faults = validate_file(path)
        assert "truncated file" in faults[0].found
        assert {fault.where: fault.found for fault in faults[1:]} == expected


def test_a_file_that_cannot_be_opened_is_one_fault(subject, tmp_path):
    subject.write_bytes(subject.read_bytes()[:3000])
    (truncated,) = validate_file(subject)
    assert "truncated file" in truncated.found
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    (other,) = validate_file(text)
    assert "file signature not found" in other.found
    assert validate_file(tmp_path / "absent.h5")[0].found == "no such file"
    assert validate_file(tmp_path)[0].found == "a folder"


def test_optional_fields_are_not_asked_for(subject):
    with h5py.File(subject, "a") as file:
        for name in OPTIONAL_FIELDS:
            file.pop(name, None)
    assert validate_file(subject) == []


def test_the_command_prints_a_line_for_each_fault_and_a_summary(subject, tmp_path):
    good = CliRunner().invoke(app, ["validate", str(subject)])
    assert (good.exit_code, good.output) == (0, "1 file: 0 errors, 0 warnings\n")
    (tmp_path / "more").mkdir()
    broken = write_tiny_subject(tmp_path / "more" / "b.h5", 4)
    with h5py.File(broken, "a") as file:
        set_value("head_mask", 1, 0)(file)
        set_value("landmarks_2d_px", 1, 500)(file)
    bad = CliRunner().invoke(app, ["validate", str(tmp_path)])
    assert bad.exit_code == 2
    assert bad.output.splitlines() == [
        f"{broken}: warning: landmarks_2d_px: expected points on the image or near it, found otherwise in 1 frame, "
        "first 1",
        f"{broken}: error: head_mask: expected a head; samples without one are dropped, found otherwise in 1 frame, "
        "first 1",
        "2 files: 1 error, 1 warning",
    ]


def test_the_command_speaks_json_and_warnings_alone_pass(subject):
    with h5py.File(subject, "a") as file:
        set_value("landmarks_2d_px", 1, 500)(file)
    done = CliRunner().invoke(app, ["validate", "--json", str(subject)])
    result = json.loads(done.output)
    assert (done.exit_code, result["errors"], result["warnings"]) == (0, 0, 1)
    assert result["files"][0]["faults"][0]["where"] == "landmarks_2d_px"


def test_the_command_refuses_what_is_not_there(tmp_path):
    for path, message in ((tmp_path / "absent", "no such file or folder"), (tmp_path, "holds no subject file")):
        done = CliRunner().invoke(app, ["validate", str(path)])
        assert isinstance(done.exception, BadInput)
        assert message in str(done.exception)


def test_a_missing_group_is_each_of_its_fields(subject):
    with h5py.File(subject, "a") as file:
        del file["valid"]
    faults = validate_file(subject)
    assert [fault.where for fault in faults] == [name for name in FIELDS if name.startswith("valid/")]
    assert {fault.found for fault in faults} == {"none"}


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_wherever_a_file_is_cut_nothing_is_raised(subject, share):
    data = subject.read_bytes()
    subject.write_bytes(data[: int(share * len(data))])
    assert "truncated file" in validate_file(subject)[0].found
