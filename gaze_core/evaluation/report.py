"""What an evaluation found, and whether one evaluation is better than another.

The names of the numbers are stable: they are keys of `report.json` and of tracked runs.
"""

from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from gaze_core.config import Config
from gaze_core.errors import ContractViolation
from gaze_core.reproducibility import derived_seed

Verdict = Literal["better", "equal", "regressed"]
Values = tuple[float | None, ...]
"""One value for each sample; None where the judge could not read an image."""


class SampleValues(Config):
    """Per-sample numbers in the order of `sample_index`; what a paired comparison needs.

    `gaze_index` names the sample whose gaze each head was asked to take on.
    """

    sample_index: tuple[int, ...]
    gaze_index: tuple[int, ...]
    psnr_db: Values
    ssim: Values
    gaze_error_deg: Values
    identity_copy_gaze_error_deg: Values
    moved_deg: Values


class AngleRow(Config):
    """Error at one asked gaze, `[pitch, yaw]` in the head frame."""

    pitch_deg: float
    yaw_deg: float
    gaze_error_deg: float | None
    num_samples: NonNegativeInt


class MovedRow(Config):
    """Error of redirections by an angle in [low, high) away from the original gaze."""

    low_deg: float
    high_deg: float
    gaze_error_deg: float | None
    identity_copy_gaze_error_deg: float | None
    num_samples: NonNegativeInt


class EvaluationReport(Config):
    """Measurements of one redirector on frames that no training has seen. None: the judge cannot tell.

    Self-driving: a test frame is rendered from its own camera and codes, then compared with the original (`psnr_db`,
    `ssim`, `head_psnr_db`, `eyes_psnr_db`, `gaze_error_vs_original_deg`, `self_gaze_error_deg`).

    Redirection: frame i keeps camera, pose and expression and is asked for the gaze of frame j; the judge's reading of
    the rendering is compared with that gaze in the camera of i (`gaze_error_deg`, the headline). Over the same pairs:
    the unchanged original i (`identity_copy_gaze_error_deg`), and the mean of all labels
    (`constant_gaze_error_deg`). `head_error_deg`: frame i is asked for camera and pose of frame j.

    Floors: the judge's error on the originals against their labels (`estimator_floor_deg`, `head_floor_deg`). No
    redirector can be shown to be better than that.
    """

    num_samples: PositiveInt
    num_unreadable: NonNegativeInt  # redirected images in which the judge found no face to read
    psnr_db: float
    ssim: float
    head_psnr_db: float
    eyes_psnr_db: float | None
    gaze_error_deg: float | None
    gaze_error_vs_original_deg: float | None
    self_gaze_error_deg: float | None
    identity_copy_gaze_error_deg: float | None
    constant_gaze_error_deg: float
    estimator_floor_deg: float | None
    head_error_deg: float | None
    identity_copy_head_error_deg: float | None
    head_floor_deg: float | None
    by_angle: tuple[AngleRow, ...]
    by_distance: tuple[MovedRow, ...]
    judge_name: str
    judge_digest: str
    seed: NonNegativeInt
    samples: SampleValues

    @property
    def numbers(self) -> dict[str, float | None]:
        """The averages by name, without counts."""
        skipped = {
            "num_samples",
            "num_unreadable",
            "by_angle",
            "by_distance",
            "judge_name",
            "judge_digest",
            "seed",
            "samples",
        }
        return {name: value for name, value in self if name not in skipped}


class Tolerance(Config):
    """By how much the mean over samples must differ before it counts; and the bootstrap that guards against chance."""

    gaze_error_deg: NonNegativeFloat = 0.5
    psnr_db: NonNegativeFloat = 0.3
    confidence: float = Field(0.95, gt=0, lt=1)
    num_resamples: PositiveInt = 2000
    seed: NonNegativeInt = 0


class MetricComparison(Config):
    """One metric on the same samples. `gain` is positive where the candidate is better; [low, high] is its interval."""

    name: str
    candidate: float
    baseline: float
    gain: float
    low: float
    high: float
    tolerance: float
    verdict: Verdict
    num_pairs: PositiveInt


class Comparison(Config):
    """Candidate against baseline. Regressed if any metric is, else better if any metric is, else equal."""

    verdict: Verdict
    reasons: tuple[str, ...]
    metrics: tuple[MetricComparison, ...]


_COMPARED = (("gaze_error_deg", "°", False), ("psnr_db", " dB", True))  # name, unit, whether higher is better


def compare(candidate: EvaluationReport, baseline: EvaluationReport, tolerance: Tolerance) -> Comparison:
    """Paired comparison: a metric changed if its mean gain exceeds the tolerance and the interval excludes zero.

    Raises:
        ContractViolation: the two were not measured on the same samples, pairs and judge.
    """
    _require_same_measurement(candidate, baseline)
    metrics, reasons = [], []
    for name, unit, higher_is_better in _COMPARED:
        metric = _compare_metric(name, higher_is_better, candidate, baseline, tolerance)
        if metric is None:
            reasons.append(f"{name}: no sample that the judge could read in both")
            continue
        metrics.append(metric)
        reasons.append(
            f"{name} {metric.candidate:.2f}{unit} against {metric.baseline:.2f}{unit}: gain {metric.gain:+.2f}{unit} "
            f"({tolerance.confidence:.0%} interval {metric.low:+.2f} to {metric.high:+.2f}, "
            f"tolerance {metric.tolerance:g}), {metric.verdict}"
        )
    more_unreadable = candidate.num_unreadable - baseline.num_unreadable
    if more_unreadable > 0:
        reasons.append(
            f"the judge could not read {more_unreadable} more of the candidate's images than of the baseline's"
        )
    verdicts = {metric.verdict for metric in metrics} | ({"regressed"} if more_unreadable > 0 else set())
    verdict: Verdict = "regressed" if "regressed" in verdicts else "better" if "better" in verdicts else "equal"
    return Comparison(verdict=verdict, reasons=tuple(reasons), metrics=tuple(metrics))


def _require_same_measurement(candidate: EvaluationReport, baseline: EvaluationReport) -> None:
    def identity(report: EvaluationReport) -> tuple[object, ...]:
        return report.judge_digest, report.samples.sample_index, report.samples.gaze_index

    if identity(candidate) != identity(baseline):
        raise ContractViolation(
            "candidate and baseline were not measured on the same samples, pairs and judge (judges "
            f"{candidate.judge_digest} and {baseline.judge_digest}, {candidate.num_samples} and {baseline.num_samples} "
            "samples); expected equal ones; evaluate both with one evaluation config on one test split"
        )


def _compare_metric(
    name: str,
    higher_is_better: bool,
    candidate: EvaluationReport,
    baseline: EvaluationReport,
    tolerance: Tolerance,
) -> MetricComparison | None:
    pairs = zip(getattr(candidate.samples, name), getattr(baseline.samples, name), strict=True)
    both = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
    if len(both) == 0:
        return None
    gains = (both[:, 0] - both[:, 1]) * (1 if higher_is_better else -1)
    low, high = bootstrap_interval(gains, tolerance)
    gain, limit = float(gains.mean()), float(getattr(tolerance, name))
    verdict: Verdict = "equal"
    if gain > limit and low > 0:
        verdict = "better"
    elif gain < -limit and high < 0:
        verdict = "regressed"
    means = both.mean(axis=0)
    return MetricComparison(
        name=name, candidate=float(means[0]), baseline=float(means[1]), gain=gain, low=low, high=high,
        tolerance=limit, verdict=verdict, num_pairs=len(both),
    )  # fmt: skip


def bootstrap_interval(values: np.ndarray, tolerance: Tolerance) -> tuple[float, float]:
    """Percentile interval of the mean of `values` over seeded resamples (Efron 1979)."""
    rng = np.random.default_rng(derived_seed("bootstrap", tolerance.seed))
    drawn = rng.integers(0, len(values), size=(tolerance.num_resamples, len(values)))
    outside = (1 - tolerance.confidence) / 2
    low, high = np.quantile(values[drawn].mean(axis=1), [outside, 1 - outside])
    return float(low), float(high)
