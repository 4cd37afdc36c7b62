"""What an evaluation found, and whether one model is better than another on the same samples."""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import NonNegativeFloat, NonNegativeInt

from gaze_core.config import Config
from gaze_core.errors import BadInput

NUM_RESAMPLES = 4000


class CurvePoint(Config):
    """Mean error of the pairs whose gaze was to move by about `moved_deg` (the middle of a bin)."""

    moved_deg: float
    error_deg: float
    num_pairs: NonNegativeInt


class EvaluationReport(Config):
    """Numbers of one model on the held-out images of one subject.

    Angles are in degrees and lower is better; PSNR is in dB and higher is better, as is SSIM. A number that could not
    be had is None, with the reason in `absent`. Definitions: `evaluation/redirection.py`.
    """

    num_samples: NonNegativeInt  # held-out images
    num_pairs: NonNegativeInt  # redirections that the judge could read
    num_unreadable: NonNegativeInt  # redirections that it could not; they are in no mean
    psnr_db: float | None
    ssim: float | None
    head_psnr_db: float | None
    eyes_psnr_db: float | None
    gaze_error_deg: float | None  # redirected image against the asked gaze
    gaze_error_vs_original_deg: float | None  # reconstruction against the original, both as the judge reads them
    identity_copy_gaze_error_deg: float | None  # floor of skill: hand back the original image
    constant_gaze_error_deg: float | None  # floor of skill: always look along the mean gaze
    estimator_floor_deg: float | None  # the judge's own error on the originals
    head_error_deg: float | None
    judge: str
    judge_digest: str
    samples_digest: str  # of the held-out samples and how they were paired
    protocol: str
    redirection_curve: tuple[CurvePoint, ...]
    per_pair_gaze_error_deg: tuple[float | None, ...]  # in sample order; None where the judge could not read
    per_image_psnr_db: tuple[float, ...]
    absent: dict[str, str]


class Tolerance(Config):
    """Differences up to these count as equal."""

    gaze_error_deg: NonNegativeFloat = 0.25
    psnr_db: NonNegativeFloat = 0.25
    unreadable_share: NonNegativeFloat = 0.05  # more redirections that the judge cannot read; share of the samples


class ComparisonRow(Config):
    """One metric of both models; `difference` is candidate minus baseline with its 95 % interval, over shared samples."""

    metric: str
    candidate: float
    baseline: float
    difference: float
    low95: float
    high95: float


class Comparison(Config):
    """The verdict on a candidate, why, and the numbers behind it."""

    verdict: Literal["better", "equal", "regressed"]
    reasons: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]


class _Metric(NamedTuple):
    name: str
    unit: str
    per_sample: str
    sign: int  # +1: higher is better


_METRICS = (
    _Metric("gaze_error_deg", "deg", "per_pair_gaze_error_deg", -1),
    _Metric("psnr_db", "dB", "per_image_psnr_db", +1),
)


def compare(candidate: EvaluationReport, baseline: EvaluationReport, tolerance: Tolerance) -> Comparison:
    """Whether the candidate beats the baseline, by a paired bootstrap over the samples that both have.

    A metric has changed if it differs by more than the tolerance and 0 lies outside the 95 % interval. `better` needs
    one that improved and none that got worse; `regressed` needs one that got worse.

    Raises:
        BadInput: the two were not measured with the same judge on the same samples.
    """
    _require_comparable(candidate, baseline)
    rows, better, worse = [], [], []
    lost = (candidate.num_unreadable - baseline.num_unreadable) / max(1, candidate.num_samples)
    if lost > tolerance.unreadable_share:
        worse.append(f"the judge cannot read {100 * lost:.0f} % more of the redirected images")
    for metric in _METRICS:
        row = _row(metric, candidate, baseline)
        if row is None:
            continue
        rows.append(row)
        allowed: float = getattr(tolerance, metric.name)
        if abs(row.difference) > allowed and not row.low95 <= 0 <= row.high95:
            text = (
                f"{metric.name} changed by {row.difference:+.2f} {metric.unit} "
                f"[{row.low95:+.2f}, {row.high95:+.2f}], tolerance {allowed:g}"
            )
            (better if row.difference * metric.sign > 0 else worse).append(text)
    if worse:
        return Comparison(verdict="regressed", reasons=tuple(worse), rows=tuple(rows))
    if better:
        return Comparison(verdict="better", reasons=tuple(better), rows=tuple(rows))
    reason = "no metric changed by more than its tolerance" if rows else "no metric is present in both"
    return Comparison(verdict="equal", reasons=(reason,), rows=tuple(rows))


def _require_comparable(candidate: EvaluationReport, baseline: EvaluationReport) -> None:
    for name in ("judge_digest", "samples_digest"):
        ours, theirs = getattr(candidate, name), getattr(baseline, name)
        if ours != theirs:
            raise BadInput(
                f"{name} is {ours} for the candidate and {theirs} for the baseline; expected the same judge and the "
                "same held-out samples; evaluate both models again on one data set"
            )


def _row(metric: _Metric, candidate: EvaluationReport, baseline: EvaluationReport) -> ComparisonRow | None:
    """Means and interval over the samples that have a value in both; None if there are none."""
    ours, theirs = (
        np.array(getattr(report, metric.per_sample), dtype=float)  # None becomes NaN
        for report in (candidate, baseline)
    )
    both = np.isfinite(ours) & np.isfinite(theirs)
    if not both.any():
        return None
    ours, theirs = ours[both], theirs[both]
    low, high = _interval95(ours - theirs)
    return ComparisonRow(
        metric=metric.name,
        candidate=float(ours.mean()),
        baseline=float(theirs.mean()),
        difference=float((ours - theirs).mean()),
        low95=low,
        high95=high,
    )


def _interval95(differences: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap of the mean (Efron 1979), with a fixed seed: a verdict must not depend on luck."""
    rng = np.random.default_rng(0)
    means = [rng.choice(differences, len(differences)).mean() for _ in range(NUM_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
