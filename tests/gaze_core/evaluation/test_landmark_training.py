"""Learning gaze from landmarks: parts with known answers, on made-up rows."""

import h5py
import numpy as np
import pytest

from gaze_core import assets
from gaze_core.errors import BadInput
from gaze_core.geometry.landmarks import EYE_LANDMARKS
from gaze_core.preprocess.face_mesh import IBUG_68, IRISES, LIDS
from gaze_core.preprocess.head_pose import HeadModel, Pose, intrinsics_of
from gaze_core.preprocess.iris_gaze import GazePrediction
from gaze_core.preprocess.landmark_gaze import EyeFeatures
from gaze_core.preprocess.landmarks import Face
from gaze_core.preprocess.posed_face import PosedFace
from gaze_core.stages.judge import rendered_landmarks
from gaze_core.stages.judge.landmark_gaze import (
    LandmarkGazeConfig,
    Rows,
    answered_strength,
    choose_penalty,
    fit_ridge,
    main,
)
from gaze_core.stages.judge.rendered_landmarks import Heights, RenderedFace, measure_heights, raised, spoilt
from tests.tiny_subject import write_tiny_subject

MIRROR = np.array([[1.0, -1.0], [1.0, 1.0]])
OFFSETS = {"outer": -0.03, "inner": 0.02, "upper": 0.01, "lower": -0.015, "iris": 0.012}
ORDER = ((3, 2, 1, 0, 5, 4), (0, 1, 2, 3, 4, 5))  # outer, upper, upper, inner, lower, lower in iBUG's order of an eye


def made_up_rows(count=200, noise=0.0, seed=0):
    """Three features an eye, of which gaze is a linear map; ten people."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 2, 3))
    gaze = (
        np.stack([0.2 * values[..., 0], 0.3 * values[..., 1]], axis=-1)
        + (0.05, 0)
        + noise * rng.normal(size=(count, 2, 2))
    )
    gaze = gaze * MIRROR
    eyeballs = [GazePrediction(0.8 * eyes, 0.8 * eyes.mean(axis=0), (True, True)) for eyes in gaze]
    features = [EyeFeatures(v, np.full(2, 0.4), e) for v, e in zip(values, eyeballs, strict=True)]
    return Rows(features, gaze, [f"p{i % 10}" for i in range(count)], count)


def test_ridge_finds_a_linear_map_and_reads_left_eyes_in_a_mirror():
    rows = made_up_rows()
    fitted = fit_ridge(rows, 1e-9)
    np.testing.assert_allclose(fitted.eyes(rows), rows.gaze_eyes, atol=1e-6)
    np.testing.assert_allclose(fitted.weights / fitted.scale[:, None], [[0.2, 0], [0, 0.3], [0, 0]], atol=1e-6)


def test_people_who_were_left_out_choose_the_penalty():
    config = LandmarkGazeConfig(penalties=(1e-4, 1e-2, 100.0), folds=5)
    chosen, left_out, errors = choose_penalty(made_up_rows(noise=0.05), config)
    assert chosen == 1e-2  # no worse than the least one, while the greatest says the mean
    assert errors["100"] > 3 * errors["0.01"]
    assert left_out.shape == (200, 2, 2)


def test_the_map_is_scaled_to_the_eyeballs_that_are_answered_more_weakly():
    rows = made_up_rows()
    assert answered_strength(rows.gaze_eyes, rows) == pytest.approx(0.8)


def rendered(offsets, slope=0.0, gaze=(0.0, 0.0)):
    """A face whose landmarks lie lower than their places by these shares of the eye's width of 50 px."""
    points_px, eyes_px = np.zeros((478, 3), np.float32), np.zeros((2, 7, 2))
    for eye, center_x in enumerate((400.0, 250.0)):
        side = 1 if eye == 0 else -1  # the subject's left is at image right
        places = np.array([[25, 0], [8, -8], [-8, -8], [-25, 2], [-8, 7], [8, 7], [3, -1]]) * (side, 1) + (
            center_x,
            240,
        )
        eyes_px[eye] = places
        found = [IBUG_68[EYE_LANDMARKS[eye]][k] for k in ORDER[eye]] + [IRISES[eye]]
        names = ("outer", "upper", "upper", "inner", "lower", "lower", "iris")
        width_px = np.linalg.norm(places[0] - places[3])
        for index, place, name in zip(found, places, names, strict=True):
            points_px[index, :2] = place + (0, width_px * (offsets[name] + slope * gaze[0]))
    pose = Pose(np.eye(3), np.array([0, 0, 0.6]))
    posed = PosedFace(
        np.zeros((0, 640, 3), np.uint8), Face(points_px, np.zeros(64, np.float32), 1.0), pose,
        HeadModel(np.zeros((468, 3)), np.zeros((2, 3))), intrinsics_of((640, 480), 1.2),
    )  # fmt: skip
    return RenderedFace("p", posed, np.zeros((2, 3)), eyes_px, np.array([gaze, gaze]))


def test_heights_are_those_at_level_gaze():
    pitches = np.linspace(-0.2, 0.4, 15)  # not level on average
    heights = measure_heights([rendered(OFFSETS, 0.1, (pitch, 0.1 * (-1) ** i)) for i, pitch in enumerate(pitches)])
    for name, expected in OFFSETS.items():
        assert getattr(heights, name) == pytest.approx(expected, abs=1e-4), name
    with pytest.raises(BadInput, match="expected 10 or more"):
        measure_heights([rendered(OFFSETS)] * 9)


def test_raised_landmarks_lie_on_their_places(monkeypatch):
    monkeypatch.setattr(rendered_landmarks, "pose_face", lambda image, face, head, intrinsics_px: face)
    face = rendered(OFFSETS)
    moved = raised(face.posed, Heights(**OFFSETS), face.posed.head)
    for eye in (0, 1):
        found = [IBUG_68[EYE_LANDMARKS[eye]][k] for k in ORDER[eye]] + [IRISES[eye]]
        np.testing.assert_allclose(moved.points_px[found, :2], face.eyes_px[eye], atol=0.1)
    untouched = np.setdiff1d(np.arange(468), [*LIDS.left, *LIDS.right])
    np.testing.assert_array_equal(moved.points_px[untouched], face.posed.face.points_px[untouched])


def test_spoilt_images_are_smaller_on_another_background_and_the_same_for_one_seed():
    image, mask = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    first, again, other = (spoilt(image, mask, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()
    assert 32 <= first.shape[0] <= 64
    middle = first.shape[0] // 2
    assert abs(int(first[middle, middle].mean()) - 200) < 6
    assert np.abs(first[2, 2].astype(int) - 200).max() > 20


def test_people_with_estimated_labels_are_refused(tmp_path, shared_data, monkeypatch, capsys):
    monkeypatch.setenv(assets.FOLDERS_VARIABLE, str(shared_data))
    path = write_tiny_subject(tmp_path / "s.h5", num_images=4)
    with h5py.File(path, "r+") as file:
        file.attrs["label_source"] = "landmarks"
    with pytest.raises(SystemExit) as refused:
        main(["--training", str(path), "--test", str(path), "--out", str(tmp_path / "out")])
    assert refused.value.code == 2
    assert "label_source is landmarks, expected exact" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
