"""Errors before and after fine-tuning by group of test frames: by scenario, and by zone of the true gaze."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from gaze_core.driver.blocks import block_interval, block_units
from gaze_core.driver.record import DriveRecord
from gaze_core.driver.report import DriverEvaluation, ModelName, errors_deg
from gaze_core.evaluation.intervals import Estimate
from gaze_core.evaluation.paired import PairedVerdict, paired_gain
from gaze_core.reports.text import signed_deg

_EDGES_DEG = {"elevation": (-10.0, 0.0), "azimuth": (-15.0, -5.0, 5.0, 15.0)}
"""Between zones of the true gaze."""
_FEWEST_FRAMES = 8  # no verdict below it: the blocks would be little more than single frames


@dataclass(frozen=True)
class GroupErrors:
    """Mean angular errors of one group, with block-bootstrap intervals, and whether fine-tuning changed them."""

    name: str
    before: Estimate
    after: Estimate
    verdict: PairedVerdict


def angular_errors_deg(evaluation: DriverEvaluation, name: ModelName = "model") -> Float[ndarray, " n"]:
    """Angular error of each test frame, of one predictor."""
    predicted = np.array(evaluation.predicted[name])
    return errors_deg(predicted, np.array(evaluation.truth))["angular_deg"]


def by_scenario(record: DriveRecord, before: DriverEvaluation, after: DriverEvaluation) -> list[GroupErrors]:
    """Errors by scenario, in order of first occurrence."""
    names = np.array([record.frames[position].scenario for position in after.positions])
    order = dict.fromkeys(frame.scenario for frame in record.frames)
    return [_group(name, names == name, before, after) for name in order if (names == name).any()]


def by_zone(before: DriverEvaluation, after: DriverEvaluation) -> list[GroupErrors]:
    """Errors by zone of the true azimuth and by zone of the true elevation; each frame is in one zone of each."""
    truth, groups = np.array(after.truth), []
    for name, column in (("azimuth", 1), ("elevation", 0)):
        edges = _EDGES_DEG[name]
        zone = np.digitize(truth[:, column], edges)
        for number, words in enumerate(_zones(edges)):
            if (zone == number).any():
                groups.append(_group(f"{name} {words}", zone == number, before, after))
    return groups


def _zones(edges: tuple[float, ...]) -> list[str]:
    marks = [signed_deg(edge) for edge in edges]
    between = [f"{low} to {high}" for low, high in zip(marks, marks[1:], strict=False)]
    return [f"below {marks[0]}", *between, f"above {marks[-1]}"]


def _group(
    name: str, chosen: Bool[ndarray, " n"], before: DriverEvaluation, after: DriverEvaluation
) -> GroupErrors:  # fmt: skip
    how, times_s = after.intervals, np.array(after.times_s)[chosen]
    old, new = (angular_errors_deg(evaluation)[chosen] for evaluation in (before, after))
    gain = paired_gain(block_units(old - new, times_s, how), how.bootstrap)
    verdict: PairedVerdict = gain.verdict if len(old) >= _FEWEST_FRAMES else "cannot tell"
    estimates = []
    for values in (old, new):
        low, high = block_interval(values, times_s, how) if len(values) > 1 else (None, None)
        estimates.append(
            Estimate(value=float(values.mean()), low=low, high=high, num_samples=len(values), num_subjects=1)
        )
    return GroupErrors(name, estimates[0], estimates[1], verdict)
