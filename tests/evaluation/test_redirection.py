"""Redirectors whose skill is known, before a judge that cannot be wrong: it reads what the image has written in it.

A fake image holds its gaze and head direction, in the camera frame, in its first pixels.
"""

from pathlib import Path

import pytest
import torch

from gaze_core.data.batch import GazeBatch
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.evaluation.judge import JudgeReading
from gaze_core.evaluation.redirection import derangement, evaluate, gaze_in_camera
from gaze_core.geometry.angles import angular_error_deg, pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.models.estimator import head_pitchyaw
from tests.tiny_subject import write_tiny_subject

HALF_TURN = torch.pi


def written(background, gaze, head):
    """Images with `gaze` and `head` in their first pixels, scaled from [-pi, pi] to [0, 1]."""
    image = background.clone()
    image[:, 0, 0, :4] = torch.cat([gaze, head], dim=1) / (2 * HALF_TURN) + 0.5
    return image


class ReadingJudge:
    """Reads what `written` wrote; it cannot read a pitch over the limit."""

    name, digest, training_subjects = "written", "0" * 12, ()

    def __init__(self, sees_head=True, unreadable_pitch_over_rad=10.0):
        self.sees_head, self.limit = sees_head, unreadable_pitch_over_rad

    def read(self, rgb):
        text = (rgb[:, 0, 0, :4] - 0.5) * 2 * HALF_TURN
        gaze, head = text[:, :2], text[:, 2:]
        return JudgeReading(gaze, head if self.sees_head else None, gaze[:, 0] < self.limit)


def camera_gaze(camera, head, gaze_head):
    rotation = (camera.world_to_camera @ head.head_to_world)[:, :3, :3]
    return pitchyaw_from_vector(torch.einsum("bij,bj->bi", rotation, vector_from_pitchyaw(gaze_head)))


def redirector(change=lambda gaze_head: gaze_head):
    """Draws exactly the asked gaze, after `change` of its head-frame angles."""

    def draw(camera, head):
        gaze = camera_gaze(camera, head, change(head.gaze_head_eyes.mean(dim=1)))
        blank = torch.full((len(gaze), 3, 32, 32), 0.5)
        return written(blank, gaze, head_pitchyaw(camera.world_to_camera @ head.head_to_world))

    return draw


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> GazeBatch:
    """Tiny faces with the labels written into them, on a mask that shows the text."""
    path: Path = write_tiny_subject(tmp_path_factory.mktemp("data") / "tiny.h5", num_images=20)
    batch = SubjectDataset(path).everything
    facing = head_pitchyaw(batch.camera.world_to_camera @ batch.head.head_to_world)
    mask = batch.head_mask.clone()
    mask[:, :, 0, :4] = 1
    object.__setattr__(batch, "rgb", written(batch.rgb, batch.gaze_camera, facing))
    object.__setattr__(batch, "head_mask", mask)
    return batch


def test_a_perfect_redirector_has_no_error(heldout):
    report = evaluate(redirector(), heldout, ReadingJudge(), seed=0)
    for name in ("gaze_error_deg", "gaze_error_vs_original_deg", "estimator_floor_deg", "head_error_deg"):
        assert getattr(report, name) == pytest.approx(0, abs=0.01), name
    assert report.num_samples == 20
    assert report.num_unreadable == 0


def test_handing_back_the_original_scores_what_the_copy_baseline_scores(heldout):
    originals = {tuple(pose.flatten().tolist()): i for i, pose in enumerate(heldout.head.head_to_world)}

    def copy(camera, head):
        rows = [originals[tuple(pose.flatten().tolist())] for pose in head.head_to_world]
        return heldout.rgb_on_white[rows]

    report = evaluate(copy, heldout, ReadingJudge(), seed=0)
    assert report.gaze_error_deg == pytest.approx(report.identity_copy_gaze_error_deg)
    assert report.identity_copy_gaze_error_deg > 10
    assert report.psnr_db == pytest.approx(100)
    assert report.ssim == pytest.approx(1, abs=1e-4)


def test_the_asked_gaze_is_the_partners_gaze_in_the_head_of_the_source(heldout):
    partner = derangement(len(heldout), 0)
    asked = camera_gaze(heldout.camera, heldout.head, heldout.gaze_head[partner])
    report = evaluate(redirector(), heldout, ReadingJudge(), seed=0)
    copy_deg = angular_error_deg(heldout.gaze_camera, asked)
    assert report.identity_copy_gaze_error_deg == pytest.approx(copy_deg.mean().item(), abs=0.01)
    torch.testing.assert_close(gaze_in_camera(heldout, heldout.gaze_head[partner]), asked)
    own = gaze_in_camera(heldout, heldout.gaze_head)
    torch.testing.assert_close(own, heldout.gaze_camera, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "change",
    [
        lambda gaze: gaze * torch.tensor([1.0, -1.0]),
        lambda gaze: gaze * torch.tensor([-1.0, 1.0]),
        lambda gaze: gaze.flip(-1),
    ],
    ids=["yaw mirrored", "pitch mirrored", "pitch and yaw swapped"],
)
def test_a_wrong_convention_shows(heldout, change):
    report = evaluate(redirector(change), heldout, ReadingJudge(), seed=0)
    assert report.gaze_error_deg > 10
    assert report.gaze_error_vs_original_deg > 10
    assert report.estimator_floor_deg == pytest.approx(0, abs=0.01)


def test_a_constant_gaze_scores_what_the_constant_baseline_scores(heldout):
    partner = derangement(len(heldout), 0)
    mean = gaze_in_camera(heldout, heldout.gaze_head[partner]).mean(dim=0)

    def constant(camera, head):
        gaze = mean.expand(len(head.head_to_world), 2)
        return written(torch.full((len(gaze), 3, 32, 32), 0.5), gaze, torch.zeros_like(gaze))

    report = evaluate(constant, heldout, ReadingJudge(), seed=0)
    assert report.gaze_error_deg == pytest.approx(report.constant_gaze_error_deg, abs=0.01)
    assert report.head_error_deg > 5


def test_unreadable_images_are_counted_and_left_out(heldout):
    judge = ReadingJudge(unreadable_pitch_over_rad=0.1)
    report = evaluate(redirector(), heldout, judge, seed=0)
    missing = [value is None for value in report.samples.gaze_error_deg]
    assert 0 < report.num_unreadable < 20
    assert sum(missing) == report.num_unreadable
    assert report.gaze_error_deg == pytest.approx(0, abs=0.01)
    nothing = evaluate(redirector(), heldout, ReadingJudge(unreadable_pitch_over_rad=-9), seed=0)
    assert nothing.gaze_error_deg is None
    assert nothing.num_unreadable == 20


def test_a_judge_without_head_pose_gives_no_head_error(heldout):
    report = evaluate(redirector(), heldout, ReadingJudge(sees_head=False), seed=0)
    assert report.head_error_deg is None
    assert report.gaze_error_deg == pytest.approx(0, abs=0.01)


def test_errors_by_distance_are_of_redirections_that_far(heldout):
    originals_gaze = heldout.gaze_camera
    poses = [tuple(pose.flatten().tolist()) for pose in heldout.head.head_to_world]

    def copy(camera, head):
        rows = [poses.index(tuple(pose.flatten().tolist())) for pose in head.head_to_world]
        gaze = originals_gaze[rows]
        return written(torch.full((len(gaze), 3, 32, 32), 0.5), gaze, torch.zeros_like(gaze))

    rows = evaluate(copy, heldout, ReadingJudge(), seed=0).by_distance
    filled = [row for row in rows if row.gaze_error_deg is not None]
    assert len(filled) >= 3
    for row in filled:  # who does not move is as wrong as the eyes should have moved
        assert row.low_deg - 0.01 <= row.gaze_error_deg <= row.high_deg + 0.01


@pytest.mark.parametrize("count", [2, 3, 40])
def test_partners_are_a_seeded_derangement(count):
    partner = derangement(count, 5)
    assert sorted(partner) == list(range(count))
    assert all(here != there for here, there in enumerate(partner))
    assert partner == derangement(count, 5)


def test_another_seed_pairs_otherwise():
    assert derangement(40, 5) != derangement(40, 6)


def test_one_sample_cannot_be_redirected(heldout):
    with pytest.raises(BadInput, match="at least 2"):
        evaluate(redirector(), heldout[:1], ReadingJudge(), seed=0)
