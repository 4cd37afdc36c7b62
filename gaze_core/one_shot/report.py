"""Values of an evaluation and of a comparison of two, sample by sample."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import NonNegativeFloat

from gaze_core.config import Config
from gaze_core.evaluation.intervals import Bootstrap, Estimate, Units, estimate
from gaze_core.evaluation.paired import STORED, PairedVerdict, Verdict, paired_gain

Number = float | None  # None: not readable
CONDITIONS = {
    "model": "the model",
    "constant gaze": "the model, always told the same gaze",
    "do nothing": "the reference picture as it is",
    "truth": "the recorded picture: the judge's own error",
    "autoencoder": "the recorded picture through the autoencoder: what the latent can hold",
}


class Measured(Config):
    """One number for each test sample under one condition."""

    eye_psnr_db: tuple[Number, ...] = ()  # over both eyes' masks
    mask_l1: tuple[Number, ...] = ()
    gaze_error_deg: tuple[Number, ...] = ()  # by the judge, to the label: the judge's own error is in it
    gaze_from_recorded_deg: tuple[
        Number, ...
    ] = ()  # to what the judge reads in the recorded picture of the same sample
    identity: tuple[Number, ...] = ()  # distance of dlib's descriptors to the recorded picture


class SweepRow(Config):
    """One picture of the sweep: where it should look and what the judge reads, degrees."""

    asked_deg: tuple[float, float]
    read_deg: tuple[float, float] | None


class OneShotEvaluation(Config):
    """The evaluation of one checkpoint on one person's test samples."""

    person: str
    rows: tuple[int, ...]  # of the test samples in the data set's file
    reference_rows: tuple[int, ...]
    judge: str
    judge_bias_deg: tuple[float, float] = (0.0, 0.0)  # for this person, taken off its readings
    measured: Mapping[str, Measured]
    sweep: tuple[SweepRow, ...]
    outside_changed: float  # largest change of a pixel outside the mask, of 255
    identity_absent: str = ""
    trained_parameters: int | None = None
    strategy: str = ""
    num_adapt: int = 0

    def estimate(self, condition: str, metric: str) -> Estimate:
        """Mean and interval over the test samples."""
        return estimate([as_array(getattr(self.measured[condition], metric))], Bootstrap())

    def mean(self, condition: str, metric: str) -> float | None:
        """The mean over the readable samples."""
        return self.estimate(condition, metric).value


class Gain(Config):
    """A paired difference after adapting, positive where better, with its interval."""

    value: float
    low: float
    high: float
    verdict: PairedVerdict
    num_samples: int


class OneShotTolerance(Config):
    """Differences that do not count."""

    eye_psnr_db: NonNegativeFloat = 0.1
    gaze_error_deg: NonNegativeFloat = 0.2
    gaze_from_recorded_deg: NonNegativeFloat = 0.2


class OneShotComparison(Config):
    """After against before, on the person and on somebody else."""

    gains: Mapping[str, Gain]  # by metric
    other_gains: Mapping[str, Gain]
    gaze_ratio: float | None  # error with a constant gaze over the error of the model
    verdict: Verdict
    reasons: tuple[str, ...]


_BETTER_IS_MORE = {"eye_psnr_db": 1.0, "gaze_error_deg": -1.0, "gaze_from_recorded_deg": -1.0}
_NAMES = {
    "eye_psnr_db": "eye PSNR", "gaze_error_deg": "judged gaze error",
    "gaze_from_recorded_deg": "judged gaze, from the recorded picture's",
}  # fmt: skip
_UNITS = {"eye_psnr_db": "dB", "gaze_error_deg": "degrees", "gaze_from_recorded_deg": "degrees"}


def compare(
    after: OneShotEvaluation, before: OneShotEvaluation, other_after: OneShotEvaluation | None,
    other_before: OneShotEvaluation | None, tolerance: OneShotTolerance,
) -> OneShotComparison:  # fmt: skip
    """The verdict follows from the eyes' PSNR and the judged gaze of the person's test samples."""
    gains = _gains(after, before, tolerance)
    others = _gains(other_after, other_before, tolerance) if other_after and other_before else {}
    told, constant = (after.mean(condition, "gaze_error_deg") for condition in ("model", "constant gaze"))
    ratio = constant / told if told and constant is not None else None
    stored = {metric: STORED[gain.verdict] for metric, gain in gains.items()}
    verdict: Verdict = "equal"
    if "regressed" in stored.values():
        verdict = "regressed"
    elif "better" in stored.values():
        verdict = "better"
    reasons = [
        f"{_NAMES[metric]}: {gain.verdict}, {gain.value:+.2f} {_UNITS[metric]} ({gain.low:+.2f} to {gain.high:+.2f})"
        for metric, gain in gains.items()
    ]
    return OneShotComparison(
        gains=gains, other_gains=others, gaze_ratio=ratio, verdict=verdict, reasons=tuple(reasons)
    )  # fmt: skip


def _gains(after: OneShotEvaluation, before: OneShotEvaluation, tolerance: OneShotTolerance) -> dict[str, Gain]:
    out = {}
    for metric, sign in _BETTER_IS_MORE.items():
        new, old = (as_array(getattr(one.measured["model"], metric)) for one in (after, before))
        difference = sign * (new - old)
        known = difference[np.isfinite(difference)]
        if len(known):
            gain = paired_gain(Units.of_subjects([known]), Bootstrap(), getattr(tolerance, metric))
            out[metric] = Gain(
                value=gain.value, low=gain.low, high=gain.high, verdict=gain.verdict, num_samples=len(known)
            )
    return out


def as_array(values: tuple[Number, ...]) -> Float[ndarray, " n"]:
    """Numbers with NaN for what is not readable."""
    return np.array([np.nan if value is None else value for value in values])


def as_numbers(values: Float[ndarray, " n"]) -> tuple[Number, ...]:
    """The same for a file: None instead of NaN."""
    return tuple(float(value) if np.isfinite(value) else None for value in values)
