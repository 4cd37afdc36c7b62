"""The verdict on paired differences, used by every comparison.

Differences are taken on the same samples and are positive where the candidate is better. The bootstrap resamples units:
subjects, blocks of time, or the samples of a single subject, because samples within a unit resemble each other.
"""

from dataclasses import dataclass
from typing import Literal

from gaze_core.evaluation.intervals import Bootstrap, Estimate, Units, percentile_interval

PairedVerdict = Literal["improved", "regressed", "within noise", "cannot tell"]
Verdict = Literal["better", "equal", "regressed"]
"""How comparisons are stored: a difference within the noise, or an undecided one, is "equal"."""
STORED: dict[PairedVerdict, Verdict] = {
    "improved": "better", "regressed": "regressed", "within noise": "equal", "cannot tell": "equal",
}  # fmt: skip
MIN_UNITS = 2  # the interval over a single unit is a point and proves nothing


@dataclass(frozen=True)
class PairedGain:
    """A mean paired difference with its interval [low, high] and the verdict."""

    value: float
    low: float
    high: float
    verdict: PairedVerdict


def paired_gain(differences: Units, bootstrap: Bootstrap, tolerance: float = 0.0) -> PairedGain:
    """The mean difference with its bootstrap interval over units."""
    low, high = percentile_interval(differences, bootstrap)
    value, count = differences.mean, len(differences.sums)
    return PairedGain(value, low, high, _verdict(value, low, high, count, tolerance))


def paired_verdict(gain: Estimate, tolerance: float = 0.0) -> PairedVerdict:
    """The same verdict on a difference whose interval is known."""
    if gain.value is None or gain.low is None or gain.high is None:
        return "cannot tell"
    return _verdict(gain.value, gain.low, gain.high, gain.num_units, tolerance)


def _verdict(value: float, low: float, high: float, num_units: int, tolerance: float) -> PairedVerdict:
    """A change exceeds the tolerance, and its whole interval lies on one side of zero."""
    if num_units < MIN_UNITS:
        return "cannot tell"
    if value > tolerance and low > 0:
        return "improved"
    if value < -tolerance and high < 0:
        return "regressed"
    return "within noise"
