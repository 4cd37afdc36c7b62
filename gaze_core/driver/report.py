"""Results of an evaluation on a drive, and the comparison of estimators."""

from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from gaze_core.config import Config
from gaze_core.driver.blocks import IntervalConfig, block_interval, block_units
from gaze_core.driver.calibration import angle_deg, directions
from gaze_core.errors import ContractViolation
from gaze_core.evaluation.paired import STORED, Verdict, paired_gain

ModelName = Literal["model", "constant", "head pose", "bias", "affine"]
BASELINES: tuple[ModelName, ...] = ("constant", "head pose", "bias", "affine")
METRICS = ("azimuth_deg", "elevation_deg", "angular_deg")
Pairs = tuple[tuple[float, float], ...]


class Estimate(Config):
    """A mean error in degrees with its block-bootstrap interval."""

    mean: float
    low: float
    high: float
    median: float


class Errors(Config):
    """Errors of one predictor: absolute errors of both angles, and the angle between the gaze directions."""

    azimuth_deg: Estimate
    elevation_deg: Estimate
    angular_deg: Estimate


class FewShot(Config):
    """Mean angular error after a correction fitted to `count` frames, over random draws of those frames."""

    method: Literal["bias", "affine"]
    count: PositiveInt
    angular_deg: float
    worst_draw_deg: float


class ScenarioRow(Config):
    """Mean errors in one scenario."""

    scenario: str
    num_frames: NonNegativeInt
    azimuth_deg: float
    elevation_deg: float
    angular_deg: float


class DriverEvaluation(Config):
    """One estimator on the test blocks of one drive. Angles are `[elevation, azimuth]` in degrees, tracker's frame."""

    drive: str
    num_train: NonNegativeInt
    num_test: PositiveInt
    errors: dict[ModelName, Errors]
    few_shot: tuple[FewShot, ...]
    scenarios: tuple[ScenarioRow, ...]
    positions: tuple[int, ...]  # of the test frames in the subject file
    times_s: tuple[float, ...]
    truth: Pairs
    predicted: dict[ModelName, Pairs]
    intervals: IntervalConfig


def errors_deg(predicted: Float[ndarray, "n 2"], truth: Float[ndarray, "n 2"]) -> dict[str, Float[ndarray, " n"]]:
    """Per-sample errors by the names of METRICS; angles are `[elevation, azimuth]` in degrees."""
    off = np.abs(predicted - truth)
    angle = angle_deg(directions(np.deg2rad(predicted)), directions(np.deg2rad(truth)))
    return {"azimuth_deg": off[:, 1], "elevation_deg": off[:, 0], "angular_deg": angle}


def summarize(
    predicted: Float[ndarray, "n 2"],
    truth: Float[ndarray, "n 2"],
    times_s: Float[ndarray, " n"],
    config: IntervalConfig,
) -> Errors:
    """Means, medians and intervals."""
    estimates = {}
    for name, values in errors_deg(predicted, truth).items():
        low, high = block_interval(values, times_s, config)
        estimates[name] = Estimate(mean=float(values.mean()), low=low, high=high, median=float(np.median(values)))
    return Errors(**estimates)


class DriverTolerance(Config):
    """The least difference of a mean error that counts."""

    angular_deg: NonNegativeFloat = 0.1


class Gain(Config):
    """Paired gain of the candidate over one other predictor on the same frames; positive if the candidate is better."""

    against: str
    candidate: float
    other: float
    gain: float
    low: float
    high: float
    verdict: Verdict


class DriverComparison(Config):
    """After fine-tuning against before, and against every baseline. `verdict` is against `before`."""

    verdict: Verdict
    beats_all: bool
    reasons: tuple[str, ...]
    reduction: dict[str, float] = Field(description="share of the error before that is gone, by metric")
    gains: tuple[Gain, ...]


def compare(after: DriverEvaluation, before: DriverEvaluation, tolerance: DriverTolerance) -> DriverComparison:
    """Paired comparison of angular errors with block-bootstrap intervals.

    The few-shot corrections are applied to the estimator of `before`.

    Raises:
        ContractViolation: the two were not measured on the same frames.
    """
    if (after.positions, after.truth) != (before.positions, before.truth):
        raise ContractViolation(
            f"{after.drive} and {before.drive}: evaluations of {after.num_test} and {before.num_test} frames that are "
            "not the same; evaluate both on one extraction"
        )
    others = {"before": before.predicted["model"]} | {name: before.predicted[name] for name in BASELINES}
    gains = tuple(_gain(name, after, np.array(other), tolerance) for name, other in others.items())
    means = {metric: [getattr(e.errors["model"], metric).mean for e in (after, before)] for metric in METRICS}
    reduction = {metric: 1 - now / then if then else 0.0 for metric, (now, then) in means.items()}
    reasons = tuple(
        f"angular error {gain.candidate:.2f} deg against {gain.other:.2f} ({gain.against}): gain {gain.gain:+.2f} "
        f"({after.intervals.confidence:.0%} interval {gain.low:+.2f} to {gain.high:+.2f}), {gain.verdict}"
        for gain in gains
    )
    return DriverComparison(
        verdict=gains[0].verdict,
        beats_all=all(gain.verdict == "better" for gain in gains),
        reasons=reasons,
        reduction=reduction,
        gains=gains,
    )


def _gain(name: str, after: DriverEvaluation, other: Float[ndarray, "n 2"], tolerance: DriverTolerance) -> Gain:
    truth = np.array(after.truth)
    candidate = errors_deg(np.array(after.predicted["model"]), truth)["angular_deg"]
    theirs = errors_deg(other, truth)["angular_deg"]
    differences = block_units(theirs - candidate, np.array(after.times_s), after.intervals)
    found = paired_gain(differences, after.intervals.bootstrap, tolerance.angular_deg)
    return Gain(
        against=name, candidate=float(candidate.mean()), other=float(theirs.mean()), gain=found.value, low=found.low,
        high=found.high, verdict=STORED[found.verdict],
    )  # fmt: skip
