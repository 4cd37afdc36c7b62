"""Results of the downstream experiment: does an estimator improve with redirected training images?"""

from typing import Literal

from pydantic import PositiveInt

from gaze_core.config import Config
from gaze_core.evaluation.intervals import Estimate
from gaze_core.evaluation.paired import PairedVerdict, paired_verdict

ArmName = Literal["start", "real", "augmented"]
_WORDS: dict[PairedVerdict, str] = {"improved": "helps", "regressed": "hurts"}


class Arm(Config):
    """One arm of the experiment: no training, real images only, or real and redirected images. Lower is better."""

    name: ArmName
    error_deg: Estimate


class Repeat(Config):
    """One random choice of real images: error of each arm on each test image, degrees."""

    subject: str
    number: int
    real_frames: tuple[int, ...]
    errors_deg: dict[ArmName, tuple[float, ...]]

    @property
    def gain_deg(self) -> float:
        """Mean error reduction by redirected images in this repeat."""
        real, augmented = (sum(self.errors_deg[arm]) / len(self.errors_deg[arm]) for arm in ("real", "augmented"))
        return real - augmented


class DownstreamReport(Config):
    """`gain_deg` is the paired difference of "real" and "augmented": positive where redirected images help.

    Intervals are over subjects, or over the test images of the only one, each averaged over the repeats; how much the
    choice of real images matters shows in the gains of the repeats. `redirector_frames` is the number of images of each
    subject that the redirector was trained on; if it exceeds `num_real`, part of a gain may come from those images.
    """

    arms: tuple[Arm, ...]
    gain_deg: Estimate
    num_real: PositiveInt
    num_generated: PositiveInt
    redirector_frames: dict[str, int]
    repeats: tuple[Repeat, ...]

    @property
    def verdict(self) -> str:
        """helps, hurts, or undecided."""
        return _WORDS.get(paired_verdict(self.gain_deg), "undecided")

    @property
    def caveat(self) -> str:
        """The limitation of the gain: how many images the redirector was trained on."""
        more = {name: count for name, count in self.redirector_frames.items() if count > self.num_real}
        if not more:
            return "The redirector was trained on no more images than the estimator."
        counts = ", ".join(f"{count} of {name}" for name, count in sorted(more.items()))
        return (
            f"The redirector was trained on more images ({counts}) than the {self.num_real} real ones of the estimator, so "
            "part of a gain may come from those."
        )
