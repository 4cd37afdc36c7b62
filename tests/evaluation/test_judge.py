"""The shipped judge on an identity it has never seen, and how judges are made and refused."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.evaluation.judge import CnnJudge, IrisJudge, require_unseen
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.models.estimator import GazeNet, GazeNetConfig, head_pitchyaw
from gaze_core.reproducibility import seed_everything
from gaze_core.stages.estimator import (
    JUDGE_FILE,
    AugmentConfig,
    EstimatorConfig,
    augment,
    mirrored,
    read_faces,
    train_judge,
)
from gaze_core.training.checkpoint import load_weights
from tests.tiny_subject import write_tiny_subject

TINY = GazeNetConfig(image_px=32, width=4, eye_width=4, eye_features=8, patch_px=(12, 9), patch_samples=(16, 12))
UNCHANGED = AugmentConfig(shift_px=0, scale=0, color=0, brightness=0, noise=0, resampled_share=0, blur_sigma_px=0.1)


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


def test_reads_a_face_it_has_never_seen(judge, pack):
    reading = judge.read(pack.rgb_on_white)
    gaze_deg = angular_error_deg(reading.gaze_camera, pack.gaze_camera).mean()
    facing = head_pitchyaw(pack.camera.world_to_camera @ pack.head.head_to_world)
    constant_deg = angular_error_deg(pack.gaze_camera.mean(0).expand_as(pack.gaze_camera), pack.gaze_camera).mean()
    assert reading.valid.all()
    assert gaze_deg < 4 < constant_deg
    assert angular_error_deg(reading.head_pitchyaw, facing).mean() < 2


def test_pitch_and_yaw_are_read_with_their_signs(judge, pack):
    read = judge.read(pack.rgb_on_white).gaze_camera
    for axis in range(2):
        slope = np.polyfit(pack.gaze_camera[:, axis].numpy(), read[:, axis].numpy(), 1)[0]
        assert 0.85 < slope < 1.15
        other = np.corrcoef(pack.gaze_camera[:, 1 - axis].numpy(), read[:, axis].numpy())[0, 1]
        assert abs(other) < 0.6


def test_a_mirrored_face_has_the_mirrored_gaze(judge, pack):
    rgb = pack.rgb_on_white[:4]
    seen, mirror = judge.read(rgb), judge.read(rgb.flip(-1))
    flip = torch.tensor([1.0, -1.0])
    torch.testing.assert_close(mirror.gaze_camera, seen.gaze_camera * flip, atol=1e-5, rtol=0)
    torch.testing.assert_close(mirror.head_pitchyaw, seen.head_pitchyaw * flip, atol=1e-5, rtol=0)


def test_the_size_and_the_company_of_an_image_matter_little(judge, pack):
    rgb = pack.rgb_on_white[:3]
    together = judge.read(rgb).gaze_camera
    torch.testing.assert_close(judge.read(rgb[1:2]).gaze_camera, together[1:2], atol=1e-4, rtol=0)
    larger = judge.read(functional.interpolate(rgb, scale_factor=2, mode="bicubic")).gaze_camera
    assert angular_error_deg(larger, together).max() < 3


def test_blank_and_broken_images_are_not_valid(judge, pack):
    broken = pack.rgb_on_white[:1].clone()
    broken[0, 0, 5, 5] = torch.nan
    images = torch.cat([pack.rgb_on_white[:1], torch.ones(1, 3, 128, 128), broken])
    reading = judge.read(images)
    assert reading.valid.tolist() == [True, False, False]
    assert reading.gaze_camera.isfinite().all()


def test_is_small_and_names_the_subjects_it_knows(judge):
    assert sum(p.numel() for p in GazeNet(GazeNetConfig()).parameters()) <= 350_000
    assert "synthetic_128" not in judge.training_subjects
    require_unseen(judge, "synthetic_128")
    with pytest.raises(ContractViolation, match=judge.training_subjects[0]):
        require_unseen(judge, judge.training_subjects[0])


def test_refuses_what_is_not_a_judge(tmp_path):
    with pytest.raises(MissingArtifact, match="no such file"):
        CnnJudge(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights, but more than eight bytes")
    with pytest.raises(ContractViolation, match="train one"):
        CnnJudge(tmp_path / "text.safetensors")


def test_the_iris_judge_hands_over_bytes_and_takes_angles():
    def read_gaze(images):
        assert images.dtype == np.uint8
        assert images.shape == (2, 4, 6, 3)
        return images[:, 0, 0, :2] / 255.0, images[:, 0, 0, 2] > 0

    rgb = torch.zeros(2, 3, 4, 6)
    rgb[0, :, 0, 0] = torch.tensor([0.2, 0.4, 1.0])
    reading = IrisJudge(read_gaze).read(rgb)
    torch.testing.assert_close(reading.gaze_camera[0], torch.tensor([0.2, 0.4]))
    assert reading.valid.tolist() == [True, False]
    assert reading.head_pitchyaw is None


def test_training_is_deterministic_and_its_file_is_a_judge(tiny_subjects, tmp_path):
    config = EstimatorConfig(network=TINY, num_steps=3, batch_size=4, num_validation_subjects=1)
    cards = [train_judge(tiny_subjects, config, tmp_path / name) for name in ("a", "b")]
    first, second = (load_weights(tmp_path / name / JUDGE_FILE) for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert cards[0] == cards[1]
    trained = CnnJudge(tmp_path / "a" / JUDGE_FILE)
    assert len(trained.training_subjects) == 2
    assert not {*trained.training_subjects} & {*trained.card["validation_subjects"]}
    assert trained.digest == CnnJudge(tmp_path / "b" / JUDGE_FILE).digest


def test_a_mirror_twice_is_no_mirror_and_keeps_points_on_the_face(tiny_subjects):
    faces = read_faces(SubjectDataset(tiny_subjects[0]))
    twice = mirrored(mirrored(faces))
    for name in type(faces).__dataclass_fields__:
        torch.testing.assert_close(getattr(twice, name), getattr(faces, name))
    # The subject's right eye stays left of the left eye in the image: the points changed places.
    assert (mirrored(faces).points_px[:, 0, 0] < mirrored(faces).points_px[:, 3, 0]).all()


def test_augmentation_moves_points_with_the_image(tiny_subjects):
    faces = read_faces(SubjectDataset(tiny_subjects[0]))
    still, points = augment(faces, UNCHANGED)
    torch.testing.assert_close(still, faces.rgb_on_white, atol=1e-4, rtol=0)
    torch.testing.assert_close(points, faces.points_px)
    seed_everything("test", 0)
    moved, moved_points = augment(faces, UNCHANGED.model_copy(update={"shift_px": 2.0, "scale": 0.06}))
    # The darkness of the image moves as the points do: compare the centroids of what is not white.
    grid = torch.arange(32) + 0.5
    for image, before, p, q in zip(moved, still, moved_points, points, strict=True):
        scale = (q - q.mean(0)).flatten() @ (p - p.mean(0)).flatten() / (q - q.mean(0)).square().sum()
        for axis, dims in enumerate([(0, 1), (0, 2)]):
            ink, ink_before = ((1 - picture).sum(dim=dims) for picture in (image, before))
            centre, centre_before = ((line * grid).sum() / line.sum() for line in (ink, ink_before))
            expected = scale * (centre_before - q[:, axis].mean()) + p[:, axis].mean()
            assert abs(centre - expected) < 0.15
