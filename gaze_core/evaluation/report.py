"""Results of evaluations and comparisons: typed values, stored as JSON.

The names of the numbers are stable (`catalog.py`): they are keys of `report.json` and of tracked runs.
"""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from gaze_core.config import Config
from gaze_core.evaluation.catalog import METRICS, RowName, flat_name
from gaze_core.evaluation.intervals import Bootstrap, Estimate
from gaze_core.evaluation.paired import Verdict

MetricVerdict = Literal[Verdict, "cannot tell"]
CheckVerdict = Literal["ok", "fault", "cannot tell"]
SweepAxis = Literal["yaw", "pitch"]
Values = tuple[float | None, ...]
"""One value for each pair; None where the judge's prediction is invalid or the metric is undefined."""


class SubjectValues(Config):
    """Values of each pair of one subject, as paired comparisons need them.

    Pair k redirects the head of frame `input_index[k]` to the gaze and pose of frame `target_index[k]`; frame numbers as
    in the subject file.
    """

    subject: str
    input_index: tuple[int, ...]
    target_index: tuple[int, ...]
    moved_deg: Values  # from the input's own gaze to the target gaze
    values: dict[RowName, dict[str, Values]]


class Row(Config):
    """Estimates by metric, of the model or of a baseline."""

    name: RowName
    estimates: dict[str, Estimate]


class AngleRow(Config):
    """Error at one target gaze, `[pitch, yaw]` in the head frame, degrees."""

    pitch_deg: float
    yaw_deg: float
    gaze_error_deg: Estimate


class DistanceRow(Config):
    """Error of redirections by an angle in [low, high) from the original gaze: a point of the redirection curve."""

    low_deg: float
    high_deg: float
    moved_deg: float | None  # mean
    gaze_error_deg: Estimate
    identity_copy_gaze_error_deg: Estimate


class Check(Config):
    """A sanity check. The averages mean nothing unless it passes.

    `value` is what was found and `rival` the same under the likeliest fault, for example with pitch and yaw swapped.
    `margin` is by how much the rival is worse; a fault is a margin whose whole interval is below zero. Where the interval
    holds zero, or the images are too few or too alike (`evidence.py`), they cannot tell, and `reason` says why.
    """

    name: str
    question: str
    unit: str
    value: float | None
    rival: float | None
    rival_name: str
    margin: Estimate
    verdict: CheckVerdict
    reason: str = ""


class SweepLine(Config):
    """Target against predicted gaze along one axis, in the head, by one reader; degrees (`sweep.py`).

    `predicted_deg` are means over the frames. Without a slope, `reason` says why.
    """

    reader: str
    axis: SweepAxis
    target_deg: tuple[float, ...]
    predicted_deg: Values
    slope: float | None
    r2: float | None
    num_readings: NonNegativeInt
    num_renderings: PositiveInt
    reason: str = ""


class ProtocolRecord(Config):
    """The protocol and the pairs of an evaluation, and the differences from the published protocol."""

    name: str
    title: str
    pairs: str  # "seed 0", or the name and digest of the file
    differs: tuple[str, ...] = ()


class EvaluationReport(Config):
    """Measurements of one redirector on held-out frames.

    For each pair (input i, target t):

    - own labels: t is rendered from its own camera, pose, codes and gaze, and compared with its recorded image;
    - redirected: i keeps camera, pose and expression and gets the gaze of t in its head as target; the judge's prediction is
      compared with that gaze in the camera of i (`gaze_error_deg`, the headline);
    - turned: i keeps gaze in the head and expression and gets camera and pose of t as target (`head_error_deg`).

    Row `copy` is the identity baseline: the recorded image of i, unchanged. `constant` is the best constant prediction of
    each subject, the mean label. `floor` is the judge's error on ground truth, the recorded images of t; no redirector
    can be shown to be better than that.
    """

    protocol: ProtocolRecord
    num_samples: PositiveInt
    num_unreadable: NonNegativeInt  # redirected images for which the judge has no valid prediction
    rows: tuple[Row, ...]
    by_angle: tuple[AngleRow, ...]
    by_distance: tuple[DistanceRow, ...]
    checks: tuple[Check, ...]
    judge_name: str
    judge_digest: str
    instruments: dict[str, str]
    bootstrap: Bootstrap
    subjects: tuple[SubjectValues, ...]
    sweep: tuple[SweepLine, ...] = ()  # of recordings whose labels are estimates
    readers_absent: dict[str, str] = {}  # of those readers that do not read the sweep: why
    label_error_deg: float | None = None  # expected error of the target frames' gaze labels; None: none is known

    def estimate(self, metric: str, row: RowName = "model") -> Estimate:
        """One number with its interval; absent, with the reason, where it was not measured."""
        found = next(r.estimates for r in self.rows if r.name == row)
        return found.get(metric, Estimate(absent="not measured for this row"))

    @property
    def numbers(self) -> dict[str, float | None]:
        """The means by flat name, those of other rows prefixed, and the slopes of the sweep."""
        means = {
            flat_name(row.name, metric): row.estimates[metric].value
            for row in self.rows
            for metric in METRICS
            if metric in row.estimates
        }
        return means | {f"sweep_{line.reader}_{line.axis}_slope": line.slope for line in self.sweep}

    @property
    def faults(self) -> tuple[str, ...]:
        """Descriptions of the failed checks."""
        return tuple(f"{check.name}: {check.rival_name}" for check in self.checks if check.verdict == "fault")

    @property
    def cannot_tell(self) -> tuple[str, ...]:
        """Which checks cannot be answered with these images, and why."""
        return tuple(f"{check.name}: {check.reason}" for check in self.checks if check.verdict == "cannot tell")


class Tolerance(Config):
    """The least difference of a mean that counts, for each compared metric; None leaves the metric out.

    The bootstrap guards against chance.
    """

    gaze_error_deg: NonNegativeFloat | None = 0.5
    head_error_deg: NonNegativeFloat | None = 0.5
    psnr_db: NonNegativeFloat | None = 0.3
    eyes_psnr_db: NonNegativeFloat | None = 0.5
    ssim: NonNegativeFloat | None = 0.01
    st_lpips: NonNegativeFloat | None = 0.02
    identity_distance: NonNegativeFloat | None = 0.03
    confidence: float = Field(0.95, gt=0, lt=1)
    num_resamples: PositiveInt = 2000
    seed: NonNegativeInt = 0

    @property
    def limits(self) -> dict[str, float]:
        """The compared metrics and their limits."""
        values = {name: getattr(self, name) for name in METRICS if name in type(self).model_fields}
        return {name: float(value) for name, value in values.items() if value is not None}

    @property
    def bootstrap(self) -> Bootstrap:
        """How the intervals of differences are made."""
        return Bootstrap(confidence=self.confidence, num_resamples=self.num_resamples, seed=self.seed)


class MetricComparison(Config):
    """One metric on the same samples. `gain` is positive where the candidate is better; [low, high] is its interval.

    Where the verdict is "cannot tell", which counts for nothing, `reason` says what is lacking.
    """

    name: str
    candidate: float
    baseline: float
    gain: float
    low: float
    high: float
    tolerance: float
    verdict: MetricVerdict
    num_pairs: PositiveInt
    num_subjects: PositiveInt
    reason: str = ""


class Comparison(Config):
    """Candidate against baseline. Regressed if any metric is, else better if any metric is, else equal."""

    verdict: Verdict
    reasons: tuple[str, ...]
    metrics: tuple[MetricComparison, ...]
