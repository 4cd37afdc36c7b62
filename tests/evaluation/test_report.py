"""Verdicts on pairs of reports whose true difference is known."""

import numpy as np
import pytest

from gaze_core.errors import ContractViolation
from gaze_core.evaluation.report import EvaluationReport, SampleValues, Tolerance, bootstrap_interval, compare

COUNT = 40


def report(gaze_deg, psnr_db, judge_digest="a" * 12, gaze_index=None):
    """A report with these values of each sample; None is an image that the judge could not read."""
    read = [value for value in gaze_deg if value is not None]
    mean_deg = float(np.mean(read)) if read else None
    samples = SampleValues(
        sample_index=tuple(range(COUNT)),
        gaze_index=tuple(gaze_index or [*range(1, COUNT), 0]),
        psnr_db=tuple(psnr_db),
        ssim=(0.9,) * COUNT,
        gaze_error_deg=tuple(gaze_deg),
        identity_copy_gaze_error_deg=(25.0,) * COUNT,
        moved_deg=(25.0,) * COUNT,
    )
    return EvaluationReport(
        num_samples=COUNT, num_unreadable=COUNT - len(read), psnr_db=float(np.mean(psnr_db)), ssim=0.9,
        head_psnr_db=20.0, eyes_psnr_db=None, gaze_error_deg=mean_deg, gaze_error_vs_original_deg=None,
        self_gaze_error_deg=None,
        identity_copy_gaze_error_deg=25.0, constant_gaze_error_deg=25.0, estimator_floor_deg=5.0, head_error_deg=None,
        identity_copy_head_error_deg=None, head_floor_deg=None, by_angle=(), by_distance=(), judge_name="fake",
        judge_digest=judge_digest, seed=0, samples=samples,
    )  # fmt: skip


@pytest.fixture
def spread():
    """Differences between samples that are far larger than the differences between the models."""
    rng = np.random.default_rng(0)
    return rng.uniform(2, 20, COUNT), rng.uniform(20, 35, COUNT)


def test_a_model_equals_itself(spread):
    same = report(*spread)
    comparison = compare(same, same, Tolerance())
    assert comparison.verdict == "equal"
    for metric in comparison.metrics:
        assert metric.gain == metric.low == metric.high == 0


def test_pairing_finds_an_improvement_that_the_spread_would_hide(spread):
    gaze, psnr = spread
    comparison = compare(report(gaze - 1, psnr), report(gaze, psnr), Tolerance())
    assert comparison.verdict == "better"
    assert {metric.name: metric.verdict for metric in comparison.metrics} == {
        "gaze_error_deg": "better",
        "psnr_db": "equal",
    }


def test_better_and_regressed_change_places_with_the_models(spread):
    gaze, psnr = spread
    better, worse = report(gaze, psnr + 1), report(gaze, psnr)
    assert compare(better, worse, Tolerance()).verdict == "better"
    assert compare(worse, better, Tolerance()).verdict == "regressed"


def test_one_regression_outweighs_an_improvement(spread):
    gaze, psnr = spread
    assert compare(report(gaze - 3, psnr - 1), report(gaze, psnr), Tolerance()).verdict == "regressed"


def test_differences_within_the_tolerance_are_equal_however_certain(spread):
    gaze, psnr = spread
    candidate = report(gaze - 0.4, psnr + 0.2)
    assert compare(candidate, report(gaze, psnr), Tolerance(gaze_error_deg=0.5, psnr_db=0.3)).verdict == "equal"
    assert compare(candidate, report(gaze, psnr), Tolerance(gaze_error_deg=0.3, psnr_db=0.3)).verdict == "better"


def test_a_difference_that_may_be_chance_is_equal(spread):
    gaze, psnr = spread
    noise = 10 * np.random.default_rng(1).standard_normal(COUNT)
    candidate = gaze + 50 + noise - noise.mean() - 1  # a gain of 1 on average, of about +-10 each
    assert compare(report(candidate, psnr), report(gaze + 50, psnr), Tolerance()).verdict == "equal"


def test_unreadable_images_are_left_out_of_means_and_count_against_the_candidate(spread):
    gaze, psnr = spread
    gaps = [None, *gaze[1:]]
    comparison = compare(report(gaps, psnr), report(gaze, psnr), Tolerance())
    assert comparison.verdict == "regressed"
    assert comparison.metrics[0].num_pairs == COUNT - 1
    assert comparison.metrics[0].gain == 0
    assert compare(report(gaze, psnr), report(gaps, psnr), Tolerance()).verdict == "equal"


def test_nothing_readable_leaves_the_images_to_compare(spread):
    blind = report([None] * COUNT, spread[1])
    comparison = compare(blind, blind, Tolerance())
    assert comparison.verdict == "equal"
    assert [metric.name for metric in comparison.metrics] == ["psnr_db"]


@pytest.mark.parametrize("other", [{"judge_digest": "b" * 12}, {"gaze_index": [*range(2, COUNT), 0, 1]}])
def test_other_judges_or_pairs_cannot_be_compared(spread, other):
    with pytest.raises(ContractViolation, match="same samples, pairs and judge"):
        compare(report(*spread), report(*spread, **other), Tolerance())


def test_a_report_survives_its_file(spread):
    gaze, psnr = spread
    written = report([None, *gaze[1:]], psnr)
    assert EvaluationReport.model_validate_json(written.model_dump_json()) == written


def test_the_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(2).normal(3, 2, 400)
    low, high = bootstrap_interval(values, Tolerance())
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert (low, high) == bootstrap_interval(values, Tolerance())
