"""Values of an evaluation of a talking head and of a comparison of two, frame by frame, stored as JSON."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from gaze_core.config import Config
from gaze_core.errors import ContractViolation
from gaze_core.evaluation.intervals import Bootstrap, Estimate, Units, percentile_interval
from gaze_core.evaluation.paired import STORED, PairedGain, PairedVerdict, Verdict, paired_gain
from gaze_core.evaluation.report import SweepLine

Number = float | None  # None: not readable
MODEL, OTHER_AUDIO, NEAREST, REFINED = "model", "audio shuffled", "nearest training frame", "refined"
CONDITIONS = {
    MODEL: "the model",
    REFINED: "the model, refined",
    OTHER_AUDIO: "the model while other sound is heard",
    NEAREST: "the training frame of the nearest pose, unchanged",
}
METRICS = {
    "full_psnr_db": ("PSNR, whole frame", "dB"), "full_ssim": ("SSIM, whole frame", ""),
    "full_st_lpips": ("ST-LPIPS, whole frame", ""),
    "head_psnr_db": ("PSNR, head", "dB"), "head_ssim": ("SSIM, head", ""), "head_st_lpips": ("ST-LPIPS, head", ""),
    "lips_psnr_db": ("PSNR, lips", "dB"), "lips_ssim": ("SSIM, lips", ""), "lips_st_lpips": ("ST-LPIPS, lips", ""),
    "eyes_psnr_db": ("PSNR, eyes", "dB"), "eyes_ssim": ("SSIM, eyes", ""), "eyes_st_lpips": ("ST-LPIPS, eyes", ""),
    "mouth_distance": ("mouth landmarks, of the eyes' distance", ""),
    "gaze_error_deg": ("read gaze against asked", "°"),
}  # fmt: skip
"""What is measured of each frame, in words, with its unit."""
BLOCK_FRAMES = 10  # neighbouring frames resemble each other: intervals resample blocks of 0.4 s
DECIDING = ("head_psnr_db", "lips_psnr_db", "eyes_psnr_db")
Mark = Literal["ok", "fault", "cannot tell"]


class Sync(Config):
    """The mouth against the sound, in the recording or in renderings.

    `opening` is read by `reader`; the lag is positive where the mouth is later than the sound.
    """

    reader: str
    correlation: Number  # with the loudness, frame by frame
    best_correlation: Number  # over lags of up to 0.4 s
    lag_ms: Number
    silence_rms: Number  # of the opening, where the sound is below -40 dB
    silent_frames: NonNegativeInt
    talking_rms: Number  # of the opening, everywhere else
    with_recorded: Number = None  # correlation with the opening of the recording


class Counterfactual(Config):
    """Eyes asked to look elsewhere, against truth that was rendered: PSNR in dB over the eyes."""

    kind: str  # yaw, pitch, both, zero
    frames: PositiveInt
    before_db: float  # the model, not asked
    after_db: float
    gain: Estimate

    @property
    def gain_db(self) -> float:
        """How much nearer to the truth the eyes come when they are asked."""
        return self.after_db - self.before_db


class BlinkScore(Config):
    """Blinks that were asked for, and those that are read in renderings."""

    source: str  # the held-out recording, or the generator
    asked: NonNegativeInt
    found: NonNegativeInt
    both: NonNegativeInt
    f1: Number
    reader_f1: Number = None  # of the same reader on the recorded frames
    correlation: Number = None  # of lids asked and read


class Speed(Config):
    """How fast frames were rendered."""

    frames_per_s: float
    batch: PositiveInt
    size_px: tuple[PositiveInt, PositiveInt]
    hardware: str


class StoredCheck(Config):
    """A sanity check and its result."""

    mark: Mark
    question: str
    answer: str
    note: str = ""


class TalkerEvaluation(Config):
    """One talking head on held-out time."""

    subject: str
    frames: tuple[int, ...]  # of the video
    frames_digest: str
    measured: Mapping[str, Mapping[str, tuple[Number, ...]]]  # condition -> metric -> value of each frame
    sync: Mapping[str, Sync]  # recorded, model, audio shuffled
    gaze_reader_error_deg: Mapping[str, Number]  # recorded: the reader's own; model: against what was asked
    counterfactual: tuple[Counterfactual, ...] = ()
    blinks: tuple[BlinkScore, ...] = ()
    sweep: tuple[SweepLine, ...] = ()
    readers_absent: Mapping[str, str] = {}
    leak: Number = None  # mean change outside the eyes over that inside when only the gaze changes
    lips_without_gaze_db: Number = None  # change of the lips' PSNR when the gaze is another
    train_gaze_deg: tuple[tuple[float, float], tuple[float, float]] | None = None  # 5 and 95 %: pitch, yaw
    train_frames: NonNegativeInt = 0
    speed: Speed | None = None
    checks: tuple[StoredCheck, ...] = ()
    absent: Mapping[str, str] = {}  # metric -> why it was not measured
    notes: tuple[str, ...] = ()
    bootstrap: Bootstrap = Bootstrap()

    def values(self, condition: str, metric: str) -> Float[ndarray, " t"]:
        """The value of each frame, NaN where it is not known."""
        return as_array(self.measured.get(condition, {}).get(metric, (None,) * len(self.frames)))

    def estimate(self, condition: str, metric: str) -> Estimate:
        """Mean over the frames, with its interval over blocks of time."""
        return block_estimate(self.values(condition, metric), self.bootstrap, self.absent.get(metric, "not measured"))

    def mean(self, condition: str, metric: str) -> float | None:
        """The mean over the readable frames."""
        return self.estimate(condition, metric).value

    @property
    def faults(self) -> tuple[str, ...]:
        """Descriptions of the failed checks."""
        return self._checked("fault")

    @property
    def cannot_tell(self) -> tuple[str, ...]:
        """The checks that these frames cannot answer."""
        return self._checked("cannot tell")

    def _checked(self, mark: Mark) -> tuple[str, ...]:
        return tuple(f"{check.question} {check.answer}" for check in self.checks if check.mark == mark)

    @property
    def numbers(self) -> dict[str, float | None]:
        """The main numbers by flat name."""
        names = ("head_psnr_db", "lips_psnr_db", "eyes_psnr_db", "full_psnr_db", "full_ssim", "mouth_distance")
        found = {name: self.mean(MODEL, name) for name in names}
        drop = self.audio_drop_db
        gains = {row.kind: row.gain_db for row in self.counterfactual}
        own = self.sync.get(MODEL)
        return found | {
            "audio_shuffled_lips_drop_db": drop.value if drop else None,
            "gaze_gain_yaw_db": gains.get("yaw"),
            "gaze_gain_pitch_db": gains.get("pitch"),
            "mouth_with_recorded": own.with_recorded if own else None,
            "mouth_with_loudness": own.best_correlation if own else None,
            "mouth_lag_ms": own.lag_ms if own else None,
            "gaze_error_deg": self.mean(MODEL, "gaze_error_deg"),
            "blink_f1": next((row.f1 for row in self.blinks if row.f1 is not None), None),
            "frames_per_s": self.speed.frames_per_s if self.speed else None,
        }  # fmt: skip

    @property
    def audio_drop_db(self) -> PairedGain | None:
        """By how much the lips' PSNR falls while other sound is heard."""
        return block_gain(self.values(MODEL, "lips_psnr_db") - self.values(OTHER_AUDIO, "lips_psnr_db"), self.bootstrap)


class Gain(Config):
    """A paired difference, positive where the candidate is better, with its interval."""

    metric: str
    against: str
    value: float
    low: float
    high: float
    verdict: PairedVerdict


class TalkerTolerance(Config):
    """Differences that do not count, in dB."""

    psnr_db: NonNegativeFloat = 0.2
    bootstrap: Bootstrap = Bootstrap()


class TalkerComparison(Config):
    """A talking head against another, or against the nearest training frame."""

    against: str
    gains: tuple[Gain, ...]
    verdict: Verdict
    reasons: tuple[str, ...]


def compare(
    candidate: TalkerEvaluation, baseline: TalkerEvaluation | None, tolerance: TalkerTolerance
) -> TalkerComparison:
    """The verdict follows from the PSNR of head, lips and eyes. A candidate that fails a check is never better.

    Raises:
        ContractViolation: the two were not measured on the same frames.
    """
    if baseline is not None and baseline.frames_digest != candidate.frames_digest:
        raise ContractViolation(
            f"candidate and baseline were measured on {len(candidate.frames)} and {len(baseline.frames)} frames that are "
            "not the same; evaluate both on one subject"
        )
    against = "baseline" if baseline is not None else NEAREST
    gains = []
    for metric in DECIDING:
        other = baseline.values(MODEL, metric) if baseline is not None else candidate.values(NEAREST, metric)
        found = block_gain(candidate.values(MODEL, metric) - other, tolerance.bootstrap, tolerance.psnr_db)
        if found is not None:
            gains.append(Gain(metric=metric, against=against, value=found.value, low=found.low, high=found.high,
                              verdict=found.verdict))  # fmt: skip
    stored = {STORED[gain.verdict] for gain in gains}
    verdict: Verdict = "regressed" if "regressed" in stored else "better" if "better" in stored else "equal"
    reasons = [
        f"{METRICS[gain.metric][0]}: {gain.verdict}, {gain.value:+.2f} dB against the {against} "
        f"({gain.low:+.2f} to {gain.high:+.2f})"
        for gain in gains
    ]
    if candidate.faults and verdict == "better":
        verdict = "equal"
        reasons.append(f"no candidate is better that fails a check: {'; '.join(candidate.faults)}")
    return TalkerComparison(against=against, gains=tuple(gains), verdict=verdict, reasons=tuple(reasons))


def block_gain(
    differences: Float[ndarray, " t"], bootstrap: Bootstrap, tolerance: float = 0.0
) -> PairedGain | None:  # fmt: skip
    """The mean of frames' differences with its interval over blocks of time; None where nothing is known."""
    units = _blocks(differences)
    return None if units is None else paired_gain(units, bootstrap, tolerance)


def block_estimate(values: Float[ndarray, " t"], bootstrap: Bootstrap, absent: str = "") -> Estimate:
    """The mean over the known frames with its interval over blocks of time."""
    units = _blocks(values)
    if units is None:
        return Estimate(absent=absent)
    low, high = percentile_interval(units, bootstrap)
    return Estimate(value=units.mean, low=low, high=high, num_samples=int(units.weights.sum()), num_subjects=1)


def _blocks(values: Float[ndarray, " t"]) -> Units | None:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return None
    _, blocks = np.unique(known // BLOCK_FRAMES, return_inverse=True)
    return Units.of_blocks(values[known], blocks)


def as_array(values: tuple[Number, ...]) -> Float[ndarray, " n"]:
    """Numbers with NaN for what is not readable."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def as_numbers(values: Float[ndarray, " n"]) -> tuple[Number, ...]:
    """The same for a file: None instead of NaN."""
    return tuple(float(value) if np.isfinite(value) else None for value in np.asarray(values, dtype=np.float64))


def as_number(value: float | None) -> Number:
    """None instead of NaN."""
    return None if value is None or not np.isfinite(value) else float(value)
