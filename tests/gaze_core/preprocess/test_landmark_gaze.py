"""The learned reader of gaze: symmetry, invariance and doubts by hand; its errors on labelled people where they are."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.preprocess.face_mesh import CORNERS, IRISES, LIDS
from gaze_core.preprocess.head_pose import HeadModel, Pose
from gaze_core.preprocess.landmark_gaze import (
    FEATURES,
    EyeFeatures,
    LandmarkGaze,
    doubts_of,
    eye_features,
    predict_gaze,
)
from gaze_core.preprocess.landmarks import Face
from tests.gaze_core.preprocess.test_eyes_and_pose import CAMERA, CENTERS_M, NO_EXPRESSION, POSE, head, mesh_px

__all__ = ["head"]  # a fixture
GAZE = [[0.2, 0.1], [0.15, 0.05]]
_EYES = zip(
    (*LIDS.left, *range(IRISES.left, IRISES.left + 5)),
    (*LIDS.right, *range(IRISES.right, IRISES.right + 5)),
    strict=True,
)
PAIRS = np.array(list(_EYES))  # (left, right) indices of the same point of an eye
FLIP = np.diag([-1.0, 1.0, 1.0])


@pytest.fixture
def eyed(head):  # noqa: F811
    """The made-up head with whole lids, of another shape on each side."""
    points = head.points_m.copy()
    for eye, (center, lids, corners) in enumerate(zip(CENTERS_M, LIDS, CORNERS, strict=True)):
        outer, inner = points[list(corners)]
        for k, index in enumerate(lids):
            share = min(k, 16 - k) / 8
            height = (0.006 + 0.001 * eye) * np.sin(np.pi * share)
            points[index] = outer + share * (inner - outer) + [0, -height if k < 8 else height, 0]
        assert np.isfinite(center).all()
    return HeadModel(points, CENTERS_M)


def face_of(points_px):
    return Face(points_px.astype(np.float64), NO_EXPRESSION, 1.0)


def swapped(points):
    """Left and right eye in each other's place."""
    out = points.copy()
    out[PAIRS[:, 0]], out[PAIRS[:, 1]] = points[PAIRS[:, 1]], points[PAIRS[:, 0]]
    return out


def test_a_mirrored_face_looks_the_other_way_by_the_same_angle(eyed):
    points_px = mesh_px(eyed, GAZE)
    mirrored_px = swapped(points_px * (-1, 1, 1) + (2 * CAMERA[0, 2], 0, 0))
    mirrored_head = HeadModel(
        np.vstack([swapped(np.vstack([eyed.points_m, np.zeros((10, 3))]) @ FLIP)[:468]]), CENTERS_M
    )
    mirrored_pose = Pose(FLIP @ POSE.rotation @ FLIP, FLIP @ POSE.translation_m)
    reader = LandmarkGaze.load()
    seen = reader.read(face_of(points_px), POSE, eyed, CAMERA)
    mirrored = reader.read(face_of(mirrored_px), mirrored_pose, mirrored_head, CAMERA)
    np.testing.assert_allclose(mirrored.gaze_head_eyes, seen.gaze_head_eyes[::-1] * (1, -1), atol=1e-9)
    np.testing.assert_allclose(mirrored.gaze_head, seen.gaze_head * (1, -1), atol=1e-9)
    assert mirrored.sigma_rad == pytest.approx(seen.sigma_rad)
    assert np.abs(seen.gaze_head_eyes[0] - seen.gaze_head_eyes[1]).max() > 1e-3  # or a swap would go unseen


def test_features_depend_neither_on_the_size_nor_on_the_crop_of_the_image(eyed):
    points_px = mesh_px(eyed, GAZE)
    features = eye_features(face_of(points_px), POSE, eyed, CAMERA)
    camera = CAMERA.copy()
    camera[:2] *= 2.5
    camera[:2, 2] += (30, -12)
    moved_px = points_px * 2.5 + (30, -12, 0)
    moved = eye_features(face_of(moved_px), POSE, eyed, camera)
    np.testing.assert_allclose(moved.values, features.values, atol=1e-9)
    np.testing.assert_allclose(moved.openness, features.openness, atol=1e-9)
    assert features.values.shape == (2, len(FEATURES))


def test_the_iris_and_the_lids_stand_where_they_were_put(eyed):
    """Lids 6 and 7 mm above corners 28 mm apart; a level gaze of eyeballs at the height of the corners."""
    straight = Pose(np.eye(3), np.array([0, 0, 0.6]))
    features = eye_features(face_of(mesh_px(eyed, np.zeros((2, 2)), straight)), straight, eyed, CAMERA)
    values = dict(zip(FEATURES, features.values.T, strict=True))
    np.testing.assert_allclose(values["upper_lid_middle_y"], [-6 / 28, -7 / 28], atol=1e-6)
    np.testing.assert_allclose(features.openness, [12 / 28, 14 / 28], atol=1e-6)
    np.testing.assert_allclose(values["iris_y"], 0, atol=1e-6)
    np.testing.assert_allclose(values["eyeball_pitch"], 0, atol=1e-6)
    np.testing.assert_allclose(values["corners_tilt"], 0, atol=1e-6)


def test_eyes_that_look_up_or_aside_are_read_so(eyed):
    straight, reader = Pose(np.eye(3), np.array([0, 0, 0.6])), LandmarkGaze.load()

    def read(pitch, yaw):
        return reader.read(face_of(mesh_px(eyed, [[pitch, yaw]] * 2, straight)), straight, eyed, CAMERA).gaze_head

    assert read(0.1, 0)[0] > read(-0.1, 0)[0] + 0.1
    assert read(0, 0.3)[1] > read(0, -0.3)[1] + 0.4


def test_doubts_by_hand():
    standard = np.zeros((2, 3))
    standard[1] = 3.0
    doubts = doubts_of(np.array([[0.0, 0.1], [0.0, -0.1]]), np.array([0.25, 0.4]), standard, np.eye(3))
    # Eyes 0.2 rad apart; the more closed one lacks 0.1 to an open one; one is as usual, one 3 deviations off.
    np.testing.assert_allclose(doubts, [1, 0.2, 0.1, 1.5])


def test_a_reading_is_less_certain_where_eyes_disagree(eyed):
    reader = LandmarkGaze.load()
    usual = eye_features(face_of(mesh_px(eyed, np.zeros((2, 2)))), POSE, eyed, CAMERA)
    same = EyeFeatures(np.stack([reader.mean, reader.mean]), np.array([0.4, 0.4]), usual.eyeballs)
    yaw = FEATURES.index("eyeball_yaw")
    other = same.values.copy()
    other[:, yaw] += 0.5 * reader.scale[yaw] * np.array([1, 1])  # both outward: apart
    assert reader.predict(replace(same, values=other)).sigma_rad > reader.predict(same).sigma_rad
    assert reader.doubts.min() >= 0
    assert reader.predict(same).sigma_rad > np.deg2rad(1)


def test_weights_that_are_absent_or_of_another_version_are_refused(tmp_path):
    with pytest.raises(MissingArtifact, match="no readable weights of the landmark gaze"):
        LandmarkGaze.load(tmp_path / "none.safetensors")
    shipped = Path(str(__import__("gaze_core").__path__[0])) / "preprocess" / "weights" / "landmark_gaze.safetensors"
    card = {"stage": "landmark_gaze", "stage_version": 99, "features": list(FEATURES)}
    save_file(load_file(shipped), tmp_path / "other.safetensors", metadata={"card": json.dumps(card)})
    with pytest.raises(ContractViolation, match="found landmark_gaze v99"):
        LandmarkGaze.load(tmp_path / "other.safetensors")


def test_forty_real_people_are_read_within_the_bar(shared_data, landmarker):
    folder = shared_data / "real_gaze" / "xgaze40"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    rows = list(csv.DictReader((folder / "labels.csv").open()))
    labels = np.deg2rad([[float(row["pitch_deg"]), float(row["yaw_deg"])] for row in rows])
    images = np.stack([cv2.imread(str(folder / row["file"]))[:, :, ::-1] for row in rows])
    gaze, valid = predict_gaze(images, landmarker, focal_factor=960 / 448)
    assert valid.sum() >= 34
    gaze, labels = gaze[valid], labels[valid]
    assert angular_error_deg(torch.as_tensor(gaze), torch.as_tensor(labels)).mean() < 7.5
    pitch_bias_deg, yaw_bias_deg = np.rad2deg((gaze - labels).mean(axis=0))
    assert abs(pitch_bias_deg) < 2
    assert abs(yaw_bias_deg) < 2
    pitch_slope, yaw_slope = (np.polyfit(labels[:, axis], gaze[:, axis], 1)[0] for axis in (0, 1))
    assert 0.75 < pitch_slope < 1.2
    assert 0.9 < yaw_slope < 1.1
