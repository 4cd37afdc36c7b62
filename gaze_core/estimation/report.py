"""Results of an evaluation on recordings of unseen people, and of comparisons: typed values, stored as JSON."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from gaze_core.config import Config
from gaze_core.evaluation.intervals import Bootstrap, Estimate
from gaze_core.evaluation.paired import Verdict

RowName = Literal["constant", "head pose", "single frame", "EMA", "median", "shuffled time", "temporal"]
ROWS: tuple[RowName, ...] = ("constant", "head pose", "single frame", "EMA", "median", "shuffled time", "temporal")
MEASURES = {
    "all": "°", "fixation": "°", "saccade": "°", "pursuit": "°", "jitter": "° a frame", "pog_cm": "cm", "pog_px": "px",
}  # fmt: skip
"""What is measured of each row, with its unit: angular errors of all frames and by kind, jitter, points on the screen."""
Mark = Literal["ok", "fault", "cannot tell"]


class Row(Config):
    """One predictor: each measure over participants, and the angular error by groups of frames."""

    measures: dict[str, Estimate]
    by_participant: dict[str, dict[str, float]]  # measure -> participant -> mean
    groups: dict[
        str, dict[str, float]
    ]  # participant, stimulus, camera, gaze angle, head angle -> name -> mean angular error
    note: str = ""


class Calibration(Config):
    """A row after correction by `count` samples of each person: mean angular error over people, and the worst draw."""

    row: RowName
    method: Literal["bias", "affine"]
    count: PositiveInt
    error: Estimate
    worst_draw_deg: float


class StoredCheck(Config):
    """A sanity check and its result."""

    mark: Mark
    question: str
    answer: str
    note: str = ""


class EstimationEvaluation(Config):
    """One temporal model and its baselines on unseen participants.

    `position_deg` is the temporal model's error by the number of earlier frames that it has seen, `position_single_deg`
    the single-frame model's on the same frames. `frames_digest` names the frames and their labels.
    """

    participants: tuple[str, ...]
    num_frames: PositiveInt
    num_recordings: PositiveInt
    rate_hz: float
    rows: dict[RowName, Row]
    absent: dict[str, str] = {}  # rows that could not be computed, and why
    position_deg: tuple[float, ...]
    position_single_deg: tuple[float, ...]
    calibration: tuple[Calibration, ...]
    checks: tuple[StoredCheck, ...]
    bootstrap: Bootstrap
    frames_digest: str
    notes: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """Descriptions of the failed checks."""
        return self._checked("fault")

    @property
    def cannot_tell(self) -> tuple[str, ...]:
        """The checks that these recordings cannot answer."""
        return self._checked("cannot tell")

    def _checked(self, mark: Mark) -> tuple[str, ...]:
        return tuple(f"{check.question} {check.answer}" for check in self.checks if check.mark == mark)


class EstimationTolerance(Config):
    """The least difference of a mean angular error that counts."""

    angular_deg: NonNegativeFloat = 0.0
    bootstrap: Bootstrap = Bootstrap()


class Gain(Config):
    """Paired gain of the candidate over another row on the same participants; positive where the candidate is better."""

    measure: str
    against: str
    candidate: float
    other: float
    gain: float
    low: float
    high: float
    num_participants: NonNegativeInt
    verdict: Verdict


class EstimationComparison(Config):
    """The temporal model against another one (`baseline`) or, without it, against its own single frame.

    `gains` are over every row of its own evaluation and, with a baseline, over that model.
    """

    verdict: Verdict
    against: str
    reasons: tuple[str, ...]
    gains: tuple[Gain, ...] = Field(default=())

    def gain(self, against: str, measure: str = "all") -> Gain | None:
        """One gain, if it was measured."""
        return next((g for g in self.gains if (g.against, g.measure) == (against, measure)), None)


def numbers_of(evaluation: EstimationEvaluation) -> Mapping[str, float | None]:
    """The headline: angular errors of every row, and more of the temporal model."""
    rows = {f"{name.replace(' ', '_')}_deg": row.measures["all"].value for name, row in evaluation.rows.items()}
    own = evaluation.rows["temporal"].measures
    kinds = {f"temporal_{name}_deg": own[name].value for name in ("fixation", "saccade", "pursuit", "jitter")}
    return rows | kinds | {"temporal_pog_cm": own["pog_cm"].value, "temporal_pog_px": own["pog_px"].value}
