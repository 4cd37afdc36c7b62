"""Redirectors whose skill is known, before a judge that cannot be wrong: it reads what the image has written in it.

A fake image holds its gaze and head direction, in the camera frame, in its first pixels.
"""

from pathlib import Path

import pytest
import torch

from gaze_core.data.batch import GazeBatch
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.evaluation.judge import JudgePrediction
from gaze_core.evaluation.metric_networks import MetricNetworks
from gaze_core.evaluation.pairs import Pairs, seeded_pairs
from gaze_core.evaluation.redirection import HeldOut
from gaze_core.evaluation.redirection import evaluate as evaluate_subjects
from gaze_core.evaluation.renderings import gaze_in_camera
from gaze_core.evaluation.report import ProtocolRecord
from gaze_core.geometry.angles import angular_error_deg, pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.models.estimation.gaze_net import head_pitchyaw
from tests.tiny_subject import write_tiny_subject

HALF_TURN = torch.pi
PROTOCOL = ProtocolRecord(name="test", title="Test", pairs="seed 0")


def written(background, gaze, head):
    """Images with `gaze` and `head` in their first pixels, scaled from [-pi, pi] to [0, 1]."""
    image = background.clone()
    image[:, 0, 0, :4] = torch.cat([gaze, head], dim=1) / (2 * HALF_TURN) + 0.5
    return image


class PredictingJudge:
    """Predicts the labels that `written` wrote; a pitch over the limit is invalid."""

    name, digest, training_subjects = "written", "0" * 12, ()

    def __init__(self, sees_head=True, unreadable_pitch_over_rad=10.0):
        self.sees_head, self.limit = sees_head, unreadable_pitch_over_rad

    def predict(self, rgb):
        text = (rgb[:, 0, 0, :4] - 0.5) * 2 * HALF_TURN
        gaze, head = text[:, :2], text[:, 2:]
        return JudgePrediction(gaze, head if self.sees_head else None, gaze[:, 0] < self.limit)


def camera_gaze(camera, head, gaze_head):
    rotation = (camera.world_to_camera @ head.head_to_world)[:, :3, :3]
    return pitchyaw_from_vector(torch.einsum("bij,bj->bi", rotation, vector_from_pitchyaw(gaze_head)))


def redirector(change=lambda gaze_head: gaze_head):
    """Renders exactly the target gaze, after `change` of its head-frame angles."""

    def draw(camera, head):
        gaze = camera_gaze(camera, head, change(head.gaze_head_eyes.mean(dim=1)))
        blank = torch.full((len(gaze), 3, 32, 32), 0.5)
        return written(blank, gaze, head_pitchyaw(camera.world_to_camera @ head.head_to_world))

    return draw


def evaluate(draw, batch, judge, seed=0, pairs=None, subjects=("tiny",)):
    """The report on one batch, or on equal copies of it under several names."""
    pairs = pairs or seeded_pairs(batch.sample_index.tolist(), seed)
    held_out = [HeldOut(name, pairs, lambda frames: batch[list(frames)]) for name in subjects]
    return evaluate_subjects(draw, held_out, MetricNetworks(judge), PROTOCOL)


def partners(batch, seed=0):
    """The target of each frame, in the order of the frames."""
    return list(seeded_pairs(batch.sample_index.tolist(), seed).targets)


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
    report = evaluate(redirector(), heldout, PredictingJudge(), seed=0)
    for name in ("gaze_error_deg", "gaze_error_vs_original_deg", "estimator_floor_deg", "head_error_deg"):
        assert report.numbers[name] == pytest.approx(0, abs=0.01), name
    assert report.num_samples == 20
    assert report.num_unreadable == 0


def test_a_redirector_that_copies_scores_like_the_identity_baseline(heldout):
    originals = {tuple(pose.flatten().tolist()): i for i, pose in enumerate(heldout.head.head_to_world)}

    def copy(camera, head):
        rows = [originals[tuple(pose.flatten().tolist())] for pose in head.head_to_world]
        return heldout.rgb_on_white[rows]

    report = evaluate(copy, heldout, PredictingJudge(), seed=0)
    assert report.numbers["gaze_error_deg"] == pytest.approx(report.numbers["identity_copy_gaze_error_deg"])
    assert report.numbers["identity_copy_gaze_error_deg"] > 10
    assert report.numbers["psnr_db"] == pytest.approx(100)
    assert report.numbers["ssim"] == pytest.approx(1, abs=1e-4)


def test_the_target_gaze_is_the_gaze_of_the_target_frame_in_the_input_head(heldout):
    partner = partners(heldout)
    asked = camera_gaze(heldout.camera, heldout.head, heldout.gaze_head[partner])
    report = evaluate(redirector(), heldout, PredictingJudge(), seed=0)
    copy_deg = angular_error_deg(heldout.gaze_camera, asked)
    assert report.numbers["identity_copy_gaze_error_deg"] == pytest.approx(copy_deg.mean().item(), abs=0.01)
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
    report = evaluate(redirector(change), heldout, PredictingJudge(), seed=0)
    assert report.numbers["gaze_error_deg"] > 10
    assert report.numbers["gaze_error_vs_original_deg"] > 10
    assert report.numbers["estimator_floor_deg"] == pytest.approx(0, abs=0.01)


def test_a_constant_gaze_scores_what_the_constant_baseline_scores(heldout):
    partner = partners(heldout)
    mean = gaze_in_camera(heldout, heldout.gaze_head[partner]).mean(dim=0)

    def constant(camera, head):
        gaze = mean.expand(len(head.head_to_world), 2)
        return written(torch.full((len(gaze), 3, 32, 32), 0.5), gaze, torch.zeros_like(gaze))

    report = evaluate(constant, heldout, PredictingJudge(), seed=0)
    assert report.numbers["gaze_error_deg"] == pytest.approx(report.numbers["constant_gaze_error_deg"], abs=0.01)
    assert report.numbers["head_error_deg"] > 5


def test_unreadable_images_are_counted_and_left_out(heldout):
    judge = PredictingJudge(unreadable_pitch_over_rad=0.1)
    report = evaluate(redirector(), heldout, judge, seed=0)
    missing = [value is None for value in report.subjects[0].values["model"]["gaze_error_deg"]]
    assert 0 < report.num_unreadable < 20
    assert sum(missing) == report.num_unreadable
    assert report.numbers["gaze_error_deg"] == pytest.approx(0, abs=0.01)
    nothing = evaluate(redirector(), heldout, PredictingJudge(unreadable_pitch_over_rad=-9), seed=0)
    assert nothing.numbers["gaze_error_deg"] is None
    assert nothing.num_unreadable == 20


def test_a_judge_without_head_pose_gives_no_head_error(heldout):
    report = evaluate(redirector(), heldout, PredictingJudge(sees_head=False), seed=0)
    assert report.numbers["head_error_deg"] is None
    assert report.numbers["gaze_error_deg"] == pytest.approx(0, abs=0.01)


def test_errors_by_distance_are_of_redirections_that_far(heldout):
    originals_gaze = heldout.gaze_camera
    poses = [tuple(pose.flatten().tolist()) for pose in heldout.head.head_to_world]

    def copy(camera, head):
        rows = [poses.index(tuple(pose.flatten().tolist())) for pose in head.head_to_world]
        gaze = originals_gaze[rows]
        return written(torch.full((len(gaze), 3, 32, 32), 0.5), gaze, torch.zeros_like(gaze))

    rows = evaluate(copy, heldout, PredictingJudge(), seed=0).by_distance
    filled = [row for row in rows if row.gaze_error_deg.value is not None]
    assert len(filled) >= 3
    for row in filled:  # who does not move is as wrong as the eyes should have moved
        assert row.low_deg - 0.01 <= row.gaze_error_deg.value <= row.high_deg + 0.01


def test_one_sample_cannot_be_redirected(heldout):
    with pytest.raises(BadInput, match="at least 2"):
        evaluate(redirector(), heldout[:1], PredictingJudge())


def test_the_baseline_rows_are_always_present(heldout):
    report = evaluate(redirector(), heldout, PredictingJudge())
    assert [row.name for row in report.rows] == ["model", "copy", "constant", "floor"]
    for row in report.rows:
        for metric in ("gaze_error_deg", "head_error_deg"):
            found = row.estimates[metric]
            assert found.num_samples == 20
            assert found.low <= found.value <= found.high


def test_a_head_that_moves_with_the_gaze_and_a_gaze_that_moves_with_the_head_are_measured(heldout):
    clean = evaluate(redirector(), heldout, PredictingJudge()).numbers
    assert clean["head_moved_by_gaze_deg"] == pytest.approx(0, abs=0.01)
    assert clean["gaze_moved_by_head_deg"] == pytest.approx(0, abs=0.01)

    def entangled(camera, head):
        """The head yaws by a tenth of the gaze's yaw, and the gaze is fixed to the camera, not to the head."""
        gaze = head.gaze_head_eyes.mean(dim=1)
        facing = head_pitchyaw(camera.world_to_camera @ head.head_to_world)
        facing = facing + torch.stack([torch.zeros(len(gaze)), gaze[:, 1] / 10], dim=1)
        return written(torch.full((len(gaze), 3, 32, 32), 0.5), gaze, facing)

    found = evaluate(entangled, heldout, PredictingJudge()).numbers
    gaze, partner = heldout.gaze_head, partners(heldout)
    yaw_deg = torch.rad2deg(gaze[partner, 1] - gaze[:, 1]).abs() / 10
    assert found["head_moved_by_gaze_deg"] == pytest.approx(yaw_deg.mean().item(), rel=0.05)
    rotation = (heldout.camera.world_to_camera @ heldout.head.head_to_world)[:, :3, :3]
    seen = torch.einsum("bji,bj->bi", rotation, vector_from_pitchyaw(gaze))
    after = torch.einsum("bji,bj->bi", rotation[partner], vector_from_pitchyaw(gaze))
    expected_deg = torch.rad2deg(torch.acos((seen * after).sum(-1).clamp(-1, 1))).mean().item()
    assert found["gaze_moved_by_head_deg"] == pytest.approx(expected_deg, abs=0.05)


def test_a_listed_pair_redirects_the_input_to_the_target(heldout):
    report = evaluate(redirector(), heldout, PredictingJudge(), pairs=Pairs((0, 1, 0), (5, 6, 7)))
    subject = report.subjects[0]
    assert (subject.input_index, subject.target_index) == ((0, 1, 0), (5, 6, 7))
    asked = camera_gaze(heldout.camera, heldout.head, heldout.gaze_head[[5, 6, 7] + [0] * 17])[:1]
    moved_deg = angular_error_deg(heldout.gaze_camera[:1], asked).item()
    assert subject.moved_deg[0] == pytest.approx(moved_deg, abs=1e-3)


def test_several_subjects_weigh_equally_and_are_the_resampled_units(heldout):
    one = evaluate(redirector(), heldout, PredictingJudge())
    two = evaluate(redirector(), heldout, PredictingJudge(), subjects=("a", "b"))
    copied = two.estimate("gaze_error_deg", "copy")
    assert (copied.num_samples, copied.num_subjects) == (40, 2)
    assert copied.value == pytest.approx(one.numbers["identity_copy_gaze_error_deg"])
    assert copied.low == copied.high == copied.value  # both subjects are the same, so no resample differs


def test_unmeasured_metrics_have_a_reason(heldout):
    report = evaluate_subjects(
        redirector(),
        [HeldOut("tiny", seeded_pairs(range(20), 0), lambda frames: heldout[list(frames)])],
        MetricNetworks(PredictingJudge(sees_head=False), absent={"st_lpips": "no weights here"}),
        PROTOCOL,
    )
    assert report.estimate("st_lpips").absent == "no weights here"
    assert report.numbers["st_lpips"] is None
    assert "reads no head direction" in report.estimate("head_error_deg").absent
