"""Stage: compares a temporal model with its own baselines and, where there is one, with another model."""

from pathlib import Path

import numpy as np

from gaze_core.artifacts import Produced
from gaze_core.errors import ContractViolation
from gaze_core.estimation.report import (
    EstimationComparison,
    EstimationEvaluation,
    EstimationTolerance,
    Gain,
    Row,
)
from gaze_core.evaluation.intervals import Units
from gaze_core.evaluation.paired import STORED, Verdict, paired_gain
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.estimation.evaluate import read_estimation

NAME, VERSION = "estimation_compare", 1
COMPARISON_FILE = "estimation_comparison.json"
_MEASURES = ("all", "fixation", "saccade")


def run(config: EstimationTolerance, inputs: Inputs, context: StageContext) -> Produced:
    """Compares `inputs["candidate"]` with `inputs["baseline"]`, both evaluations, or with its own single frame.

    Raises:
        ContractViolation: the two were not measured on the same frames.
    """
    candidate = read_estimation(inputs["candidate"])
    baseline = read_estimation(inputs["baseline"]) if inputs.get("baseline") else None
    comparison = compare(candidate, baseline, config)
    path = context.work_dir / COMPARISON_FILE
    path.write_text(comparison.model_dump_json(indent=1))
    metrics = {
        f"gain_over_{gain.against.replace(' ', '_')}_deg": gain.gain
        for gain in comparison.gains
        if gain.measure == "all"
    }
    return Produced(kind="report", files={COMPARISON_FILE: path}, metrics=metrics)


def read_estimation_comparison(folder: Path) -> EstimationComparison:
    """The comparison that this stage wrote."""
    return EstimationComparison.model_validate_json((folder / COMPARISON_FILE).read_text())


def compare(
    candidate: EstimationEvaluation, baseline: EstimationEvaluation | None, tolerance: EstimationTolerance
) -> EstimationComparison:
    """Paired gains over participants. A candidate that fails a check is never better.

    Raises:
        ContractViolation: the two were not measured on the same frames.
    """
    own = candidate.rows["temporal"]
    others: dict[str, Row] = {name: row for name, row in candidate.rows.items() if name != "temporal"}
    against = "single frame"
    if baseline is not None:
        if baseline.frames_digest != candidate.frames_digest:
            raise ContractViolation(
                f"candidate and baseline were measured on {candidate.num_frames} and {baseline.num_frames} frames that are "
                "not the same, or whose labels differ; evaluate both on one conversion"
            )
        against = "baseline"
        others = {"baseline": baseline.rows["temporal"], **others}
    found = [
        gain
        for name, row in others.items()
        for measure in _MEASURES
        if (gain := _gain(name, measure, own, row, tolerance)) is not None
    ]
    decisive = next(gain for gain in found if (gain.against, gain.measure) == (against, "all"))
    verdict: Verdict = decisive.verdict
    reasons = [_text(gain) for gain in found if gain.measure == "all" or gain.against in (against, "single frame")]
    if candidate.faults:
        verdict = "equal" if verdict == "better" else verdict
        reasons.append(f"no candidate is better that fails a check: {'; '.join(candidate.faults)}")
    return EstimationComparison(verdict=verdict, against=against, reasons=tuple(reasons), gains=tuple(found))


def _gain(name: str, measure: str, own: Row, other: Row, tolerance: EstimationTolerance) -> Gain | None:
    """The mean difference over the participants who have a value in both; None without any."""
    mine, theirs = own.by_participant[measure], other.by_participant[measure]
    people = [one for one in mine if one in theirs]
    if not people:
        return None
    pairs = np.array([(mine[one], theirs[one]) for one in people])
    units = Units(
        pairs[:, 1] - pairs[:, 0], np.ones(len(people)), float((pairs[:, 1] - pairs[:, 0]).mean()), "bootstrap"
    )
    found = paired_gain(units, tolerance.bootstrap, tolerance.angular_deg)
    return Gain(
        measure=measure, against=name, candidate=float(pairs[:, 0].mean()), other=float(pairs[:, 1].mean()),
        gain=found.value, low=found.low, high=found.high, num_participants=len(people), verdict=STORED[found.verdict],
    )  # fmt: skip


def _text(gain: Gain) -> str:
    what = "angular error" if gain.measure == "all" else f"angular error in {gain.measure}s"
    return (
        f"{what} {gain.candidate:.2f} deg against {gain.other:.2f} ({gain.against}): gain {gain.gain:+.2f} "
        f"(interval {gain.low:+.2f} to {gain.high:+.2f}, {gain.num_participants} people), {gain.verdict}"
    )
