import numpy as np
import pytest

from gaze_core.driver.blocks import IntervalConfig
from gaze_core.driver.calibration import angles, directions
from gaze_core.driver.report import BASELINES, DriverEvaluation, DriverTolerance, compare, errors_deg, summarize
from gaze_core.errors import ContractViolation
from gaze_core.evaluation.baselines import (
    affine_correction,
    bias_correction,
    constant,
    few_shot,
    head_features,
    head_pose_regression,
)
from gaze_core.synthesis.factory import pose_matrix

RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(-0.3, 0.3, (200, 2))


def test_corrections_remove_the_errors_they_model():
    shifted = TRUTH + [0.1, -0.2]
    np.testing.assert_allclose(bias_correction(shifted[:50], TRUTH[:50])(shifted), TRUTH, atol=1e-12)
    bent = TRUTH @ np.array([[0.3, 0.1], [0.0, 1.5]]) + [0.1, 0]
    assert np.abs(affine_correction(bent[:150], TRUTH[:150])(bent) - TRUTH).max() < 0.01
    assert np.abs(bias_correction(bent[:150], TRUTH[:150])(bent) - TRUTH).max() > 0.1
    np.testing.assert_allclose(constant(TRUTH, 3), np.tile(TRUTH.mean(axis=0), (3, 1)))


def test_an_affine_correction_from_few_frames_is_nearly_a_bias():
    read = TRUTH + 0.05 * RNG.normal(size=TRUTH.shape)
    (draw,) = few_shot(affine_correction, read, TRUTH, read, 4, 1)
    assert np.abs(draw - TRUTH).mean() < 0.15


def test_gaze_that_follows_the_head_is_predicted_from_the_head_pose():
    pitchyaw = RNG.uniform(-0.5, 0.5, (300, 2))
    poses = np.stack([pose_matrix(np.array([*p, 0.0]), np.array([0, 0, 0.7])) for p in pitchyaw])
    features = head_features(poses)
    truth = pitchyaw @ np.array([[0.7, 0.1], [-0.1, 0.6]])
    by_head = head_pose_regression(features[:200], truth[:200])
    assert np.abs(by_head(features[200:]) - truth[200:]).max() < 0.03
    unrelated = RNG.uniform(-0.3, 0.3, (300, 2))
    by_nothing = head_pose_regression(features[:200], unrelated[:200])
    assert np.abs(by_nothing(features[200:]) - unrelated[200:]).mean() > 0.1


def test_errors_of_each_angle_and_between_directions():
    off = errors_deg(np.array([[10.0, 20.0]]), np.array([[12.0, 17.0]]))
    assert (off["elevation_deg"][0], off["azimuth_deg"][0]) == (2, 3)
    assert off["angular_deg"][0] == pytest.approx(3.56, abs=0.01)  # hypot(3 cos 11, 2)


def evaluation(error_deg, shift=0.0, positions=range(100)):
    truth = np.rad2deg(TRUTH[:100]) + shift
    config, times = IntervalConfig(), np.arange(100) * 0.5
    predicted = {"model": truth + [error_deg, 0]} | {name: truth + [3, 0] for name in BASELINES}
    return DriverEvaluation(
        drive="d", num_train=3, num_test=100, few_shot=(), scenarios=(), positions=tuple(positions),
        times_s=tuple(times), truth=tuple(map(tuple, truth)), intervals=config,
        errors={name: summarize(values, truth, times, config) for name, values in predicted.items()},
        predicted={name: tuple(map(tuple, values)) for name, values in predicted.items()},
    )  # fmt: skip


def test_a_verdict_against_before_and_against_every_baseline():
    better = compare(evaluation(2.0), evaluation(8.0), DriverTolerance())
    assert (better.verdict, better.beats_all) == ("better", True)
    assert better.reduction["elevation_deg"] == pytest.approx(0.75)
    assert [gain.against for gain in better.gains] == ["before", *BASELINES]
    assert better.gains[0].gain == pytest.approx(6, abs=0.01)
    assert "against 8.00 (before): gain +6.00" in better.reasons[0]
    constant_wins = compare(evaluation(5.0), evaluation(8.0), DriverTolerance())
    assert (constant_wins.verdict, constant_wins.beats_all) == ("better", False)
    assert compare(evaluation(8.0), evaluation(2.0), DriverTolerance()).verdict == "regressed"
    assert compare(evaluation(2.0), evaluation(2.05), DriverTolerance()).verdict == "equal"


def scattered(mean_deg, spread_deg):
    """Errors in elevation that change from block to block of two seconds."""
    found = evaluation(0.0)
    blocks = np.repeat(np.random.default_rng(2).normal(size=25), 4)
    off = mean_deg + spread_deg * (blocks - blocks.mean())
    predicted = np.array(found.truth) + np.stack([np.abs(off), np.zeros(100)], axis=1)
    return found.model_copy(update={"predicted": found.predicted | {"model": tuple(map(tuple, predicted.tolist()))}})


def test_a_difference_within_its_interval_is_no_verdict():
    # Mean errors differ by a degree in both directions, by blocks that differ by much more.
    noisy, still = scattered(8.0, 6.0), evaluation(8.0)
    gap = np.abs(np.array(noisy.predicted["model"]) - np.array(noisy.truth))[:, 0].mean() - 8.0
    shifts = (gap + 1.0, gap - 1.0)
    for shift, sign in zip(shifts, (1, -1), strict=True):
        found = compare(noisy, evaluation(8.0 + shift), DriverTolerance())
        (gain, *_) = found.gains
        assert sign * gain.gain > 0.5
        assert gain.low < 0 < gain.high
        assert (found.verdict, gain.verdict) == ("equal", "equal")
        assert not found.beats_all
    assert compare(evaluation(8.0 - 1.0), still, DriverTolerance()).verdict == "better"  # the same gain without noise


def test_other_frames_cannot_be_compared():
    with pytest.raises(ContractViolation, match="not the same; evaluate both on one extraction"):
        compare(evaluation(2.0), evaluation(2.0, positions=range(1, 101)), DriverTolerance())


def test_angles_and_directions_are_inverse():
    np.testing.assert_allclose(angles(directions(TRUTH)), TRUTH, atol=1e-12)
