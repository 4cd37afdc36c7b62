"""The shipped judge on an unseen identity, and how judges are trained and refused."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.evaluation.judge import CnnJudge, LandmarkJudge
from gaze_core.geometry.angles import angular_error_deg, vector_from_pitchyaw
from gaze_core.models.estimation.gaze_net import GazeNet, GazeNetConfig, head_pitchyaw
from gaze_core.reproducibility import seed_everything
from gaze_core.stages.judge.estimator import JUDGE_FILE, EstimatorConfig, errors_deg, main, train_judge
from gaze_core.stages.judge.faces import EYEBALL_RADIUS_M, AugmentConfig, augment, mirrored, read_faces
from gaze_core.training.checkpoint import load_weights
from tests.tiny_subject import write_tiny_subject

TINY = GazeNetConfig(image_px=32, width=4, eye_width=4, eye_features=8, patch_px=(12, 9), patch_samples=(16, 12))
UNCHANGED = AugmentConfig(
    shift_px=0, roll_deg=0, scale=0, color=0, brightness=0, grey=0, noise=0, resampled_share=0, blur_sigma_px=0.1
)


@pytest.fixture(scope="module")
def judge():
    return CnnJudge()


@pytest.fixture(scope="module")
def pack():
    return SubjectDataset(Path(str(resources.files("gaze_core") / "data" / "packs" / "synthetic_128.h5"))).batch(
        range(0, 200, 5)
    )


@pytest.fixture
def tiny_subjects(tmp_path):
    return [write_tiny_subject(tmp_path / f"{n}.h5", num_images=8, subject=f"tiny_{n}", seed=n) for n in range(3)]


def test_predicts_the_gaze_of_an_unseen_person(judge, pack):
    prediction = judge.predict(pack.rgb_on_white)
    gaze_deg = angular_error_deg(prediction.gaze_camera, pack.gaze_camera).mean()
    facing = head_pitchyaw(pack.camera.world_to_camera @ pack.head.head_to_world)
    constant_deg = angular_error_deg(pack.gaze_camera.mean(0).expand_as(pack.gaze_camera), pack.gaze_camera).mean()
    assert prediction.valid.all()
    assert gaze_deg < 5 < constant_deg
    assert angular_error_deg(prediction.head_pitchyaw, facing).mean() < 2


def test_pitch_and_yaw_are_predicted_with_their_signs(judge, pack):
    predicted = judge.predict(pack.rgb_on_white).gaze_camera
    for axis in range(2):
        slope = np.polyfit(pack.gaze_camera[:, axis].numpy(), predicted[:, axis].numpy(), 1)[0]
        assert 0.85 < slope < 1.15
        other = np.corrcoef(pack.gaze_camera[:, 1 - axis].numpy(), predicted[:, axis].numpy())[0, 1]
        assert abs(other) < 0.6


def test_a_mirrored_face_has_the_mirrored_gaze(judge, pack):
    rgb = pack.rgb_on_white[:4]
    seen, mirror = judge.predict(rgb), judge.predict(rgb.flip(-1))
    flip = torch.tensor([1.0, -1.0])
    torch.testing.assert_close(mirror.gaze_camera, seen.gaze_camera * flip, atol=1e-5, rtol=0)
    torch.testing.assert_close(mirror.head_pitchyaw, seen.head_pitchyaw * flip, atol=1e-5, rtol=0)


def test_image_size_and_other_images_of_the_batch_matter_little(judge, pack):
    rgb = pack.rgb_on_white[:3]
    together = judge.predict(rgb).gaze_camera
    torch.testing.assert_close(judge.predict(rgb[1:2]).gaze_camera, together[1:2], atol=1e-4, rtol=0)
    larger = judge.predict(functional.interpolate(rgb, scale_factor=2, mode="bicubic")).gaze_camera
    assert angular_error_deg(larger, together).max() < 3


def test_blank_and_broken_images_are_not_valid(judge, pack):
    broken = pack.rgb_on_white[:1].clone()
    broken[0, 0, 5, 5] = torch.nan
    images = torch.cat([pack.rgb_on_white[:1], torch.ones(1, 3, 128, 128), broken])
    prediction = judge.predict(images)
    assert prediction.valid.tolist() == [True, False, False]
    assert prediction.gaze_camera.isfinite().all()


def test_is_small_and_names_the_subjects_it_knows(judge):
    assert sum(p.numel() for p in GazeNet(GazeNetConfig()).parameters()) <= 400_000
    assert len(judge.seen.people) == len(judge.card["training_subjects"]) > 40
    assert judge.seen.has_seen(f"synthetic/{judge.card['training_subjects'][0]}")
    assert not judge.seen.has_seen("synthetic/synthetic_128")


def test_refuses_what_is_not_a_judge(tmp_path):
    with pytest.raises(MissingArtifact, match="no such file"):
        CnnJudge(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights, but more than eight bytes")
    with pytest.raises(ContractViolation, match="train one"):
        CnnJudge(tmp_path / "text.safetensors")


def test_a_judge_of_landmarks_hands_over_bytes_and_takes_angles():
    def predict_gaze(images):
        assert images.dtype == np.uint8
        assert images.shape == (2, 4, 6, 3)
        return images[:, 0, 0, :2] / 255.0, images[:, 0, 0, 2] > 0

    rgb = torch.zeros(2, 3, 4, 6)
    rgb[0, :, 0, 0] = torch.tensor([0.2, 0.4, 1.0])
    prediction = LandmarkJudge("iris", "iris-v1", predict_gaze).predict(rgb)
    torch.testing.assert_close(prediction.gaze_camera[0], torch.tensor([0.2, 0.4]))
    assert prediction.valid.tolist() == [True, False]
    assert prediction.head_pitchyaw is None


def test_training_is_deterministic_and_its_file_is_a_judge(tiny_subjects, tmp_path):
    config = EstimatorConfig(network=TINY, num_steps=3, batch_size=4)
    training, validation, test = ([path] for path in tiny_subjects)
    cards = [train_judge(training, validation, test, config, tmp_path / name) for name in ("a", "b")]
    first, second = (load_weights(tmp_path / name / JUDGE_FILE) for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert cards[0] == cards[1]
    trained = CnnJudge(tmp_path / "a" / JUDGE_FILE)
    assert trained.seen.people == ("synthetic/tiny_0",)
    measured_on = {split: list(errors) for split, errors in trained.card["errors_deg"].items()}
    assert measured_on == {"validation": ["tiny_1"], "test": ["tiny_2"]}
    assert trained.digest == CnnJudge(tmp_path / "b" / JUDGE_FILE).digest


def test_a_mirror_twice_is_no_mirror_and_keeps_points_on_the_face(tiny_subjects):
    faces = read_faces([SubjectDataset(tiny_subjects[0])])
    twice = mirrored(mirrored(faces))
    for name in type(faces).__dataclass_fields__:
        torch.testing.assert_close(getattr(twice, name), getattr(faces, name))
    # The subject's right eye stays left of the left eye in the image: the points changed places.
    assert (mirrored(faces).points_px[:, 0, 0] < mirrored(faces).points_px[:, 3, 0]).all()


def test_irises_stand_off_their_eyeballs_by_the_sine_of_the_gaze(tiny_subjects):
    dataset = SubjectDataset(tiny_subjects[0])
    faces, batch = read_faces([dataset]), dataset.everything
    px_per_m = batch.camera.intrinsics_px[:, 0, 0] / 0.6  # the tiny subject stands 0.6 m away
    across_m = EYEBALL_RADIUS_M * vector_from_pitchyaw(batch.gaze_camera)[:, :2]
    offset_px = (faces.irises_px - faces.eyeballs_px).mean(dim=1)
    torch.testing.assert_close(offset_px, px_per_m[:, None] * across_m, atol=0.08, rtol=0.08)
    # The subject's left eye is at image right.
    assert (faces.eyeballs_px[:, 0, 0] > faces.eyeballs_px[:, 1, 0]).all()


def as_complex(places: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(places.contiguous())


def test_augmentation_moves_labels_with_the_image(tiny_subjects):
    faces = read_faces([SubjectDataset(tiny_subjects[0])])
    still, labels = augment(faces, UNCHANGED)
    torch.testing.assert_close(still, faces.rgb_on_white, atol=1e-4, rtol=0)
    for name in ("points_px", "irises_px", "eyeballs_px", "gaze_camera", "head_pitchyaw"):
        torch.testing.assert_close(getattr(labels, name), getattr(faces, name))
    seed_everything("test", 0)
    change = {"shift_px": 1.0, "scale": 0.06, "roll_deg": 20.0}
    image, moved = augment(faces, UNCHANGED.model_copy(update=change))
    p, q = as_complex(faces.points_px), as_complex(moved.points_px)
    p_mean, q_mean = p.mean(1, keepdim=True), q.mean(1, keepdim=True)
    factor = ((p - p_mean).conj() * (q - q_mean)).sum(1) / (p - p_mean).abs().square().sum(1)  # scale and turn
    assert factor.angle().abs().max() > 0.1
    for name in ("irises_px", "eyeballs_px"):
        expected = q_mean + factor[:, None] * (as_complex(getattr(faces, name)) - p_mean)
        torch.testing.assert_close(as_complex(getattr(moved, name)), expected, atol=1e-3, rtol=0)
    for name in ("gaze_camera", "head_pitchyaw"):
        before, after = (vector_from_pitchyaw(getattr(record, name)) for record in (faces, moved))
        turned = as_complex(before[:, :2]) * factor / factor.abs()
        torch.testing.assert_close(as_complex(after[:, :2]), turned, atol=1e-5, rtol=0)
        torch.testing.assert_close(after[:, 2], before[:, 2])
    # The darkness of the image moves as the points do: compare the centroids of what is not white.
    centre, centre_before = (as_complex(ink_centre(one)) for one in (image, still))
    expected = q_mean[:, 0] + factor * (centre_before - p_mean[:, 0])
    assert (centre - expected).abs().max() < 0.25


def ink_centre(rgb: torch.Tensor) -> torch.Tensor:
    """Centroid (x, y) of the non-white pixels."""
    ink, grid = (1 - rgb).sum(dim=1), torch.arange(rgb.shape[-1]) + 0.5
    x, y = ((ink.sum(dim=axis) * grid).sum(-1) / ink.sum(dim=(1, 2)) for axis in (1, 2))
    return torch.stack([x, y], dim=-1)


def test_people_are_in_one_of_training_validation_and_test(tiny_subjects, tmp_path):
    one, two, _ = tiny_subjects
    with pytest.raises(BadInput, match="tiny_0: in two of training, validation and test"):
        train_judge([one], [two], [one], EstimatorConfig(network=TINY), tmp_path)
    with pytest.raises(BadInput, match="no subject file for test"):
        train_judge([one], [two], [], EstimatorConfig(network=TINY), tmp_path)
    assert not (tmp_path / JUDGE_FILE).exists()


def test_the_command_takes_files_for_each_purpose(tiny_subjects, tmp_path, monkeypatch, capsys):
    given = {}

    def train(training, validation, test, config, out_dir):
        given.update(training=training, validation=validation, test=test, config=config, out_dir=out_dir)
        return {"errors_deg": {"test": 1.5}}

    monkeypatch.setattr("gaze_core.stages.judge.estimator.train_judge", train)
    main(["--training", "a.h5", "b.h5", "--validation", "c.h5", "--test", "d.h5", "--out", str(tmp_path)])
    assert given["training"] == [Path("a.h5"), Path("b.h5")]
    assert given["test"] == [Path("d.h5")]
    assert given["config"] == EstimatorConfig()
    assert '"test": 1.5' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--training", "a.h5", "--out", str(tmp_path)])


def test_errors_are_those_of_the_judge_with_mirrored_images(judge, pack, tmp_path):
    subject = write_tiny_subject(tmp_path / "tiny.h5", num_images=4, size_px=128)
    faces = read_faces([SubjectDataset(subject)])
    errors = errors_deg(judge._model, faces)
    predicted = judge.predict(faces.rgb_on_white)
    assert errors["images"] == 4
    assert errors["gaze"] == pytest.approx(float(angular_error_deg(predicted.gaze_camera, faces.gaze_camera).mean()))
    assert errors["head"] == pytest.approx(
        float(angular_error_deg(predicted.head_pitchyaw, faces.head_pitchyaw).mean())
    )


def test_the_shipped_judge_was_tested_on_unseen_people(judge):
    errors = judge.card["errors_deg"]
    assert len(errors["test"]) >= 4
    assert not {*judge.card["training_subjects"]} & {*errors["test"], *errors["validation"]}
    assert not {*errors["test"]} & {*errors["validation"]}
    mean_deg = np.average(
        [e["gaze"] for e in errors["test"].values()], weights=[e["images"] for e in errors["test"].values()]
    )
    assert mean_deg <= 5.0
