"""Verdicts on pairs of reports whose true difference is known."""

import numpy as np
import pytest

from gaze_core.errors import ContractViolation
from gaze_core.evaluation.comparison import compare, copy_as_baseline, paired_estimate
from gaze_core.evaluation.intervals import Bootstrap, Units, estimate, percentile_interval
from gaze_core.evaluation.report import EvaluationReport, Tolerance
from tests.gaze_core.evaluation.reports import COUNT, FAULT, report


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
    assert compare(report(gaze + 50, psnr), report(candidate, psnr), Tolerance()).verdict == "equal"


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


@pytest.mark.parametrize("other", [{"judge_digest": "b" * 12}, {"targets": [*range(2, COUNT), 0, 1]}])
def test_other_judges_or_pairs_cannot_be_compared(spread, other):
    with pytest.raises(ContractViolation, match="same samples, pairs and judge"):
        compare(report(*spread), report(*spread, **other), Tolerance())


def test_a_report_survives_its_file(spread):
    gaze, psnr = spread
    written = report([None, *gaze[1:]], psnr)
    assert EvaluationReport.model_validate_json(written.model_dump_json()) == written


def test_a_candidate_with_a_new_fault_is_regressed_and_the_fault_is_named(spread):
    gaze, psnr = spread
    comparison = compare(report(gaze - 3, psnr, checks=(FAULT,)), report(gaze, psnr), Tolerance())
    assert comparison.verdict == "regressed"
    assert "yaw is mirrored" in comparison.reasons[-1]


def test_with_a_fault_on_both_sides_nobody_is_better(spread):
    gaze, psnr = spread
    faulty = report(gaze, psnr, checks=(FAULT,))
    assert compare(report(gaze - 3, psnr, checks=(FAULT,)), faulty, Tolerance()).verdict == "equal"


def test_a_first_model_must_beat_the_identity_baseline(spread):
    gaze, psnr = spread
    good = report(gaze, psnr)
    assert compare(good, copy_as_baseline(good), Tolerance()).verdict == "better"
    useless = report(gaze + 40, psnr)
    assert compare(useless, copy_as_baseline(useless), Tolerance()).verdict == "regressed"


def test_subjects_are_the_resampled_units(spread):
    # Each sample of subject 0 gains 2 degrees and each of subject 1 loses 1: over samples that is a sure gain of 0.5,
    # but of two people drawn with replacement a quarter of the time both are the one who loses.
    gaze, psnr = spread
    change = np.repeat([-2.0, 1.0], COUNT // 2)
    candidate, baseline = (report(values, psnr, subjects=2) for values in (gaze + change, gaze))
    metric = compare(candidate, baseline, Tolerance(gaze_error_deg=0.1)).metrics[0]
    assert (metric.gain, metric.low, metric.high) == (pytest.approx(0.5), pytest.approx(-1), pytest.approx(2))
    assert (metric.verdict, metric.num_subjects, metric.num_pairs) == ("equal", 2, COUNT)


def test_a_metric_without_tolerance_is_not_compared(spread):
    gaze, psnr = spread
    comparison = compare(report(gaze, psnr - 5), report(gaze, psnr), Tolerance(psnr_db=None))
    assert comparison.verdict == "equal"
    assert [metric.name for metric in comparison.metrics] == ["gaze_error_deg"]


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(2).normal(3, 2, 400)
    low, high = percentile_interval(Units.of_subjects([values]), Bootstrap())
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert (low, high) == percentile_interval(Units.of_subjects([values]), Bootstrap())


def test_subjects_of_different_sizes_weigh_the_same():
    found = estimate([np.array([1.0, np.nan]), np.array([3.0, 3.0, 3.0]), np.array([np.nan])], Bootstrap())
    assert (found.value, found.num_samples, found.num_subjects) == (2, 4, 2)
    assert (found.low, found.high) == (1, 3)  # both resamples of one person twice have a chance of a quarter


def test_nothing_readable_has_no_value_but_a_reason():
    found = estimate([np.array([np.nan])], Bootstrap(), absent="no face")
    assert (found.value, found.low, found.absent) == (None, None, "no face")


def test_the_gain_of_one_metric_is_that_of_the_comparison(spread):
    gaze, psnr = spread
    better, worse = report(gaze - 1, psnr + 1), report(gaze, psnr)
    metrics = {metric.name: metric for metric in compare(better, worse, Tolerance()).metrics}
    for name in ("gaze_error_deg", "psnr_db"):
        gain = paired_estimate(name, better, worse, Bootstrap())
        assert (gain.value, gain.low, gain.high) == (metrics[name].gain, metrics[name].low, metrics[name].high)
        assert gain.value > 0
    with pytest.raises(ContractViolation, match="not measured on the same samples"):
        paired_estimate("psnr_db", better, report(gaze, psnr, judge_digest="b" * 12), Bootstrap())
