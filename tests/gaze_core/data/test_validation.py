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
from gaze_core.data.subjects import SubjectDataset
from gaze_core.data.validation import require_valid, validate_file
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


def test_a_frame_without_a_head_is_a_warning_for_it_is_dropped(subject):
    with h5py.File(subject, "a") as file:
        set_value("head_mask", [0, 5], 0)(file)
    (fault,) = validate_file(subject)
    assert (fault.where, fault.severity) == ("head_mask", "warning")
    assert fault.found == "otherwise in 2 frames, first 0"
    require_valid(subject)


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


def test_values_whose_flag_is_false_are_not_checked(subject):
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
    """The same subject with one compressed chunk for each frame of an image, as recordings are stored."""
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


def test_a_truncated_file_lists_the_lost_frames_of_each_field(tmp_path):
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


def test_optional_fields_are_not_required(subject):
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
        set_value("observed_mask", 1, 3)(file)
        set_value("landmarks_2d_px", 1, 500)(file)
    bad = CliRunner().invoke(app, ["validate", str(tmp_path)])
    assert bad.exit_code == 2
    assert bad.output.splitlines() == [
        f"{broken}: warning: landmarks_2d_px: expected points on the image or near it, found otherwise in 1 frame, "
        "first 1",
        f"{broken}: error: observed_mask: expected values 0 and 255 only, found otherwise in 1 frame, first 1",
        "2 files: 1 error, 1 warning",
    ]


def test_the_command_prints_json_and_warnings_alone_pass(subject):
    with h5py.File(subject, "a") as file:
        set_value("landmarks_2d_px", 1, 500)(file)
    done = CliRunner().invoke(app, ["validate", "--json", str(subject)])
    result = json.loads(done.output)
    assert (done.exit_code, result["errors"], result["warnings"]) == (0, 0, 1)
    assert result["files"][0]["faults"][0]["where"] == "landmarks_2d_px"


def test_the_command_refuses_a_missing_path(tmp_path):
    for path, message in ((tmp_path / "absent", "no such file or folder"), (tmp_path, "holds no subject file")):
        done = CliRunner().invoke(app, ["validate", str(path)])
        assert isinstance(done.exception, BadInput)
        assert message in str(done.exception)


def scaled(*names, by=1000.0, rows=slice(None)):
    """Lengths of these fields in another unit; of a pose, its last column."""

    def change(file):
        for name in names:
            values = file[name][:]
            values[(rows, slice(0, 3), 3) if values.shape[1:] == (4, 4) else rows] *= by
            file[name][...] = values

    return change


def retyped(name, change):
    return lambda file: refill(file, name, change(file[name][:]))


def in_degrees(file):
    for name in ("gaze_camera", "gaze_head", "gaze_head_eyes"):
        file[name][...] = np.rad2deg(file[name][:])


UNUSABLE = {
    "floats_0_1": (retyped("image", lambda v: (v / 255).astype("float32")), r"image: expected uint8 .* found float32"),
    "cast_from_0_1": (retyped("image", lambda v: v // 255), r"image: expected an image in \[0, 255\] that is not black"),
    "channels_first": (retyped("image", lambda v: v.transpose(0, 3, 1, 2)), r"image: .*found uint8 of shape \(6, 3, 32"),
    "gray": (retyped("image", lambda v: v[..., 0]), r"image: .*found uint8 of shape \(6, 32, 32\)"),
    "rgba": (retyped("image", lambda v: v[..., [0, 1, 2, 2]]), r"image: .*found uint8 of shape \(6, 32, 32, 4\)"),
    "fewer_images": (retyped("image", lambda v: v[:4]), "image: expected 6 frames, as in the other fields, found 4"),
    "degrees": (in_degrees, r"gaze_camera: expected pitch in \[-pi/2, pi/2\] .* radians, found .* first 0"),
    "one_nan_gaze": (set_value("gaze_camera", 3, np.nan), "gaze_camera: expected finite numbers .*1 frame, first 3"),
    "float64": (retyped("gaze_head", lambda v: v.astype("float64")), "gaze_head: expected float32 .* found float64"),
    "big_endian": (retyped("gaze_head", lambda v: v.astype(">f4")), "gaze_head: expected float32 .* found >f4"),
    "head_in_mm": (scaled("head_to_world"), "head_to_world: expected a head 0.03 to 30 m in front of the camera"),
    "eyes_in_mm": (scaled("eye_centers_head_m"), "eye_centers_head_m: expected eyeball centres 0.03 to 0.12 m apart"),
    "eyes_6_m_apart": (scaled("eye_centers_head_m", by=100.0, rows=[2]), "eye_centers_head_m: .* 1 frame, first 2"),
    "landmarks_in_mm": (scaled("landmarks_3d_head_m"), "landmarks_3d_head_m: expected a face of 0.05 to 0.6 m"),
    "intrinsics_of_another_size": (scaled("intrinsics_px", by=4.0, rows=(slice(None), slice(2))),
                                   "intrinsics_px: expected a principal point on the stored image"),
    "zero_rotations": (scaled("head_to_world", by=0.0), "head_to_world: expected .* found otherwise in 6 frames"),
    "no_rotation": (set_value("head_to_world", slice(None), 0), "head_to_world: expected a rotation"),
    "missing_attribute": (lambda file: file.attrs.pop("normalization"), "attribute normalization: .* found none"),
    "broken_json": (lambda file: file.attrs.update(normalization="{size"), "attribute normalization: expected valid"),
    "unknown_profile": (lambda file: file.attrs.update(profile="car"), "attribute profile: expected redirection, found car"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(UNUSABLE))
def test_an_invalid_file_is_refused_in_one_line(subject, name):
    require_valid(subject)
    change, message = UNUSABLE[name]
    with h5py.File(subject, "a") as file:
        change(file)
    with pytest.raises(BadInput, match=message) as refusal:
        require_valid(subject)
    assert str(refusal.value).startswith(f"{subject}: ")
    assert "\n" not in str(refusal.value)
    with pytest.raises(BadInput, match=r"^portrait\.h5: "):
        require_valid(subject, called="portrait.h5")


@pytest.mark.parametrize("name", ["floats_0_1", "channels_first", "gray", "rgba", "fewer_images", "float64", "big_endian",
                                  "missing_attribute", "broken_json", "unknown_profile"])  # fmt: skip
def test_a_file_of_another_form_is_not_even_opened(subject, name):
    with h5py.File(subject, "a") as file:
        UNUSABLE[name][0](file)
    with pytest.raises(BadInput, match=UNUSABLE[name][1]):
        SubjectDataset(subject)


def test_the_number_of_further_errors_is_reported_and_a_valid_file_is_read_once(subject, monkeypatch):
    require_valid(subject)
    with monkeypatch.context() as patch:
        patch.setattr("gaze_core.data.validation.validate_file", lambda path: pytest.fail("read again"))
        require_valid(subject.rename(subject.with_name("same.h5")))
    with h5py.File(subject.with_name("same.h5"), "a") as file:
        in_degrees(file)
    with pytest.raises(BadInput, match="; and 3 more errors, list them with: gazeworks data validate"):
        require_valid(subject.with_name("same.h5"))


def test_expression_codes_of_another_face_model_have_no_range(subject):
    with h5py.File(subject, "a") as file:
        file["expression_code"][:] = -3
    (fault,) = validate_file(subject)
    assert fault.where == "expression_code"
    with h5py.File(subject, "a") as file:
        file.attrs["provenance"] = json.dumps({"notes": {"expression_basis": "bfm09"}})
    assert validate_file(subject) == []


def test_a_missing_group_is_each_of_its_fields(subject):
    with h5py.File(subject, "a") as file:
        del file["valid"]
    faults = validate_file(subject)
    assert [fault.where for fault in faults] == [name for name in FIELDS if name.startswith("valid/")]
    assert {fault.found for fault in faults} == {"none"}


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_file_truncated_anywhere_raises_nothing(subject, share):
    data = subject.read_bytes()
    subject.write_bytes(data[: int(share * len(data))])
    assert "truncated file" in validate_file(subject)[0].found


@pytest.mark.parametrize("value", [0.0, -0.1, 4.0])
def test_an_expected_error_of_the_gaze_is_a_positive_angle(subject, value):
    sigma_rad = np.full(NUM_IMAGES, 0.1, np.float32)
    with h5py.File(subject, "a") as file:
        file["gaze_sigma_rad"] = sigma_rad
    assert validate_file(subject) == []
    sigma_rad[3] = value
    with h5py.File(subject, "a") as file:
        file["gaze_sigma_rad"][:] = sigma_rad
    (fault,) = validate_file(subject)
    assert fault.where == "gaze_sigma_rad"
    assert "first 3" in fault.found
