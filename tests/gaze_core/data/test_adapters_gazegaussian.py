"""GazeGaussian's layout: the second face fit, the checks of each frame, and the round trip of our files."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from gaze_core.data.adapters.gazegaussian_export import export_gazegaussian
from gaze_core.data.adapters.published import convert_subject, open_published
from gaze_core.data.batch import concatenate
from gaze_core.data.subjects import SubjectDataset, open_subject
from gaze_core.data.validation import validate_file
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angular_error_deg
from tests.gaze_core.data.published import (
    EYE_CENTERS_M,
    KEPT_66,
    landmarks_head_m,
    make_scene,
    make_scenes,
    write_gazegaussian,
    write_gazenerf,
)
from tests.tiny_subject import write_tiny_subject

NAME = "gazegaussian_eth_xgaze"


def write(folder, count=3, **options):
    scenes = make_scenes(count, 3)
    return scenes, write_gazegaussian(folder / "xgaze_subject0007.h5", scenes, **options)


def read(folder, **flags):
    return list(open_published(folder, NAME, **flags).samples("subject0007"))


@pytest.mark.parametrize("landmarks_in_world", [False, True])
def test_head_frame_has_its_origin_between_the_eyes(tmp_path, landmarks_in_world):
    scenes, _ = write(tmp_path, landmarks_in_world=landmarks_in_world)
    for sample, scene in zip(read(tmp_path), scenes, strict=True):
        assert sample["valid/head_pose"]
        assert sample["valid/landmarks_3d"]
        np.testing.assert_allclose(sample["landmarks_3d_head_m"][KEPT_66], landmarks_head_m()[KEPT_66], atol=1e-9)
        # The outer mouth corners are not in the file: right across the view, and a few millimetres off along it.
        np.testing.assert_allclose(sample["landmarks_3d_head_m"], landmarks_head_m(), atol=0.005)
        np.testing.assert_allclose(sample["eye_centers_head_m"], EYE_CENTERS_M, atol=1e-9)
        head_to_camera = sample["world_to_camera"] @ sample["head_to_world"]
        np.testing.assert_allclose(head_to_camera[:3, 3], scene.head_camera_m, atol=1e-9)
        np.testing.assert_allclose(head_to_camera[:3, :3], scene.head_to_camera, atol=1e-9)


def test_landmarks_in_space_project_onto_those_in_the_image(tmp_path):
    write(tmp_path)
    for sample in read(tmp_path):
        to_camera = sample["world_to_camera"] @ sample["head_to_world"]
        seen = (sample["landmarks_3d_head_m"] @ to_camera[:3, :3].T + to_camera[:3, 3]) @ sample["intrinsics_px"].T
        np.testing.assert_allclose(seen[:, :2] / seen[:, 2:], sample["landmarks_2d_px"], atol=1e-6)


def test_landmarks_that_do_not_lie_on_the_face_are_invalid(tmp_path):
    _, path = write(tmp_path)
    with h5py.File(path, "a") as file:
        file["facial_landmarks_3d"][1] = 0  # as in files that were put together without a fit
    samples = read(tmp_path)
    assert [bool(s["valid/landmarks_3d"]) for s in samples] == [True, False, True]
    assert [bool(s["valid/head_pose"]) for s in samples] == [True, False, True]
    assert not samples[1]["landmarks_3d_head_m"].any()
    convert_subject(open_published(tmp_path, NAME), "subject0007", tmp_path / "ours.h5")
    with open_subject(tmp_path / "ours.h5") as file:
        assert json.loads(file.attrs["provenance"])["notes"]["frames_without_3d_landmarks"] == 1


def test_a_pose_that_faces_elsewhere_is_invalid_and_the_gaze_is_kept(tmp_path):
    _, path = write(tmp_path)
    before = read(tmp_path)[1]
    with h5py.File(path, "a") as file:
        file["pose"][1, :3] = [0.0, np.pi / 2, 0.0]
    sample = read(tmp_path)[1]
    assert not sample["valid/head_pose"]
    for field in ("gaze_camera", "gaze_head"):
        np.testing.assert_allclose(sample[field], before[field], atol=1e-6)


def test_gaze_in_the_camera_does_not_follow_the_fitted_pose(tmp_path):
    scenes, path = write(tmp_path)
    with h5py.File(path, "a") as file:
        file["pose"][:, :3] *= 1.05  # a fit some degrees off
    for sample, true in zip(read(tmp_path), scenes, strict=True):
        x, y, z = true.gaze
        np.testing.assert_allclose(sample["gaze_camera"], [np.arcsin(-y), np.arctan2(-x, -z)], atol=1e-9)
        turn = (sample["world_to_camera"] @ sample["head_to_world"])[:3, :3]
        assert np.abs(turn - true.head_to_camera).max() > 0.005
        pitch, yaw = sample["gaze_head"]
        v = [-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)]
        np.testing.assert_allclose(turn @ v, true.gaze, atol=1e-9)


def test_inputs_of_the_published_network_are_kept(tmp_path):
    """Label, pose and scale of the file, from ours and the fields of the published fit."""
    _, path = write(tmp_path)
    with h5py.File(path, "a") as file:
        file["pose"][:, :3] *= 1.05
        file["scale"][:] = [[1.0], [1.2], [1.4]]
        pose, label = file["pose"][:], file["pitchyaw_head"][:]
    convert_subject(open_published(tmp_path, NAME), "subject0007", tmp_path / "ours.h5")
    assert not [fault for fault in validate_file(tmp_path / "ours.h5") if "expression_code" not in fault.where]
    head = SubjectDataset(tmp_path / "ours.h5").everything.head
    fit = head.published
    assert fit.known.all()
    assert not head.expression_is_arkit.any()
    torch.testing.assert_close(fit.scale, torch.tensor([1.0, 1.2, 1.4]))
    for index in range(3):
        pitch, yaw = head.gaze_head_eyes[index, 0].tolist()
        ours = [-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)]
        x, y, z = fit.gaze_rotation[index].double().numpy() @ ours
        np.testing.assert_allclose([np.arcsin(y), np.arctan2(-x, -z)], label[index], atol=1e-6)
        turn, place_m = head.head_to_world[index, :3, :3].double(), head.head_to_world[index, :3, 3].double()
        shift_dm = 10 * (place_m - turn @ fit.origin_m[index].double())
        np.testing.assert_allclose(shift_dm, pose[index, 3:], atol=1e-4)


def test_an_invalid_scale_rejects_the_frame(tmp_path):
    _, path = write(tmp_path)
    with h5py.File(path, "a") as file:
        file["scale"][1] = 0
    converted = convert_subject(open_published(tmp_path, NAME), "subject0007", tmp_path / "ours.h5")
    assert converted.dropped == {"scale_not_positive": 1}


def test_files_with_and_without_a_published_fit_are_read_together(tmp_path):
    write(tmp_path)
    convert_subject(open_published(tmp_path, NAME), "subject0007", tmp_path / "a.h5")
    with open_subject(tmp_path / "a.h5") as file:
        size_px = file["image"].shape[1]
    write_tiny_subject(tmp_path / "b.h5", num_images=2, size_px=size_px)
    converted, plain = (SubjectDataset(tmp_path / name).everything for name in ("a.h5", "b.h5"))
    head = concatenate([converted, plain]).head
    assert head.published.known.tolist() == [True] * 3 + [False] * 2
    assert head.expression_is_arkit.tolist() == [False] * 3 + [True] * 2


def test_codes_and_their_basis(tmp_path):
    scenes, path = write(tmp_path)
    for sample, scene in zip(read(tmp_path), scenes, strict=True):
        np.testing.assert_array_equal(sample["identity_code"], scene.codes[:80])
        np.testing.assert_array_equal(sample["expression_code"], scene.codes[80:144])
        assert sample["valid/identity"]
        assert sample["valid/expression"]
    assert not any(sample["valid/expression"] for sample in read(tmp_path, bfm_codes="drop"))
    with h5py.File(path, "a") as file:
        file["latent_codes"][0] = 0
    first = read(tmp_path)[0]
    assert not first["valid/identity"]
    assert not first["valid/expression"]


def test_frame_numbers_beyond_8_bits(tmp_path):
    frames = np.repeat(np.arange(250, 262), 2)
    scene = make_scene(0)
    scenes = [replace(scene, frame=int(frame), camera=i % 2) for i, frame in enumerate(frames)]
    write_gazenerf(tmp_path / "xgaze_subject0000.h5", scenes)
    source = open_published(tmp_path, "gazenerf_eth_xgaze")
    convert_subject(source, "subject0000", tmp_path / "ours.h5")
    with open_subject(tmp_path / "ours.h5") as file:
        np.testing.assert_array_equal(file["frame_index"], frames)
        np.testing.assert_array_equal(file["camera_index"], np.tile([0, 1], 12))
        assert json.loads(file.attrs["provenance"])["notes"]["frame_index"] == "unwrapped at 1 places"


def test_files_name_their_known_faults(tmp_path):
    write(tmp_path)
    for legacy in (True, False):
        source = open_published(tmp_path, NAME, legacy_gaze_origin=legacy)
        convert_subject(source, "subject0007", tmp_path / "ours.h5")
        with open_subject(tmp_path / "ours.h5") as file:
            provenance = json.loads(file.attrs["provenance"])
        assert ("gaze_origin" in provenance["label_faults"]) is legacy
        assert provenance["flags"]["legacy_gaze_origin"] is legacy
        assert provenance["notes"]["expression_basis"] == "bfm09"


# What the layout holds, and how exactly it comes back. Not here, because the layout has no place: observed_mask,
# gaze_head_eyes (their mean alone), eye_centers_head_m (estimated again), valid/gaze (frames without are left out).
EXACT = ("image", "head_mask", "left_eye_mask", "right_eye_mask", "frame_index", "camera_index", "identity_code",
         "expression_code", "valid/head_pose", "valid/landmarks_3d", "valid/identity", "valid/expression",
         "valid/left_eye", "valid/right_eye")  # fmt: skip
CLOSE = {"landmarks_2d_px": 1e-5, "intrinsics_px": 1e-5, "world_to_camera": 1e-6, "head_to_world": 1e-6,
         "gaze_camera": 1e-6, "gaze_head": 1e-6}  # fmt: skip


@pytest.fixture
def ours(tmp_path):
    """A subject of ours with everything that could get lost: frames beyond 255, a moved camera, an unused code."""
    path = write_tiny_subject(tmp_path / "tiny.h5", num_images=6)
    turn = np.array([[0.8, 0.0, 0.6, 0.1], [0.0, 1.0, 0.0, -0.2], [-0.6, 0.0, 0.8, 0.3], [0, 0, 0, 1]])
    with h5py.File(path, "a") as file:
        file["frame_index"][:] = [0, 1, 255, 256, 300, 70000]
        file["camera_index"][:] = [0, 1, 17, 3, 3, 3]
        file["world_to_camera"][2] = turn
        file["head_to_world"][2] = np.linalg.inv(turn) @ file["head_to_world"][2]
        file["valid/identity"][3] = False
        file["identity_code"][3] = 0
        file["left_eye_mask"][4] = 0
        file["valid/left_eye"][4] = False
    return path


def round_trip(ours, folder, **options):
    assert export_gazegaussian(ours, folder / "xgaze_subject0000.h5", **options) == {}
    source = open_published(folder, NAME)
    back = folder / "back.h5"
    assert convert_subject(source, "subject0000", back).num_kept == 6
    return back


def test_round_trip_loses_nothing_that_the_layout_can_hold(ours, tmp_path):
    with open_subject(ours) as a, open_subject(round_trip(ours, tmp_path / "theirs")) as b:
        for field in EXACT:
            np.testing.assert_array_equal(b[field][:], a[field][:], err_msg=field)
        for field, tolerance in CLOSE.items():
            np.testing.assert_allclose(b[field][:], a[field][:], rtol=0, atol=tolerance, err_msg=field)
        stored = (f["landmarks_3d_head_m"][:, KEPT_66] for f in (a, b))
        np.testing.assert_allclose(*stored, atol=1e-6)
        # Outer mouth corners are not stored; they return on their rays at the inner corners' depth.
        assert np.abs(b["landmarks_3d_head_m"][:] - a["landmarks_3d_head_m"][:]).max() < 0.05
        assert json.loads(b.attrs["provenance"])["notes"]["expression_basis"] == "arkit"


def test_round_trip_with_the_axes_of_the_published_files(ours, tmp_path):
    back = round_trip(ours, tmp_path / "theirs", upstream_axes=True)
    with open_subject(ours) as a, open_subject(back) as b:
        for index in range(6):
            before, after = (f["world_to_camera"][index] @ f["head_to_world"][index] for f in (a, b))
            np.testing.assert_allclose(after, before, atol=1e-6)
            # GazeGaussian's loader maps 3D landmarks to the world by R (x - t); with these axes that is the inverse.
            np.testing.assert_array_equal(b["world_to_camera"][index][:3, :3], np.diag([1, -1, -1]))
    gazes = [SubjectDataset(path).everything.gaze_camera for path in (ours, back)]
    assert angular_error_deg(*gazes).max() < 1e-3


def test_exported_file_has_the_published_keys_shapes_and_conventions(ours, tmp_path):
    export_gazegaussian(ours, tmp_path / "x.h5", size_px=64)
    _, published = write(tmp_path)
    with h5py.File(tmp_path / "x.h5") as file, h5py.File(published) as theirs, open_subject(ours) as subject:
        assert set(theirs) - set(file) == {"pitchyaw", "pitchyaw_3d"}
        for key in file:
            assert file[key].shape[1:] == theirs[key].shape[1:], key
            assert file[key].chunks[0] == 1
        assert file["face_patch"].dtype == np.uint8
        np.testing.assert_allclose(file["pitchyaw_head"][0], subject["gaze_head"][0] * [-1, 1], rtol=1e-6)
        np.testing.assert_allclose(file["facial_landmarks"][0], subject["landmarks_2d_px"][0] * 2 - 0.5, rtol=1e-5)
        # Canonical points to the image as GazeGaussian has them: decimetres, y up, z out of the face.
        canonical = subject["landmarks_3d_head_m"][0] * 10 * [1, -1, -1]
        turn = rotation(file["pose"][0, :3])
        camera = (canonical @ turn.T + file["pose"][0, 3:]) @ file["w2c_Rmat"][0].T + file["w2c_Tvec"][0]
        pixels = camera @ file["inmat"][0].T
        np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], file["facial_landmarks"][0], atol=1e-3)
        rows, columns = np.nonzero(file["left_eye_mask"][0])
        assert len(rows)
        assert columns.mean() < np.nonzero(file["right_eye_mask"][0])[1].mean()  # their left is the image's


def rotation(axis_angle):
    return torch.linalg.matrix_exp(
        torch.tensor([
            [0, -axis_angle[2], axis_angle[1]], [axis_angle[2], 0, -axis_angle[0]], [-axis_angle[1], axis_angle[0], 0],
        ]).double()
    ).numpy()  # fmt: skip


def test_frames_without_labels_are_left_out_of_the_export(ours, tmp_path):
    with h5py.File(ours, "a") as file:
        file["valid/gaze"][[0, 2]] = False
        file["valid/head_pose"][1] = False
    assert export_gazegaussian(ours, tmp_path / "x.h5") == {"invalid_gaze": 2, "invalid_head_pose": 1}
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["frame_index"][:, 0].tolist() == [256, 300, 70000]
    with h5py.File(ours, "a") as file:
        file["valid/gaze"][:] = False
    (tmp_path / "y.h5").write_bytes(b"precious")
    with pytest.raises(BadInput, match="none of 6 frames has all labels"):
        export_gazegaussian(ours, tmp_path / "y.h5")
    assert (tmp_path / "y.h5").read_bytes() == b"precious"
