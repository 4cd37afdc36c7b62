"""Sanity checks of a driver run. Its errors mean nothing unless each check passes."""

from collections.abc import Mapping

import numpy as np

from gaze_core.driver.blocks import block_units
from gaze_core.driver.record import DriveRecord
from gaze_core.driver.report import DriverComparison, DriverEvaluation, errors_deg
from gaze_core.driver.signs import MIN_CORRELATION
from gaze_core.evaluation.paired import PairedVerdict, paired_gain
from gaze_core.reports.blocks import CheckRow, Mark
from gaze_core.reports.text import number

_MARKS: Mapping[PairedVerdict, Mark] = {"improved": "ok", "regressed": "fault"}
_STORED_MARKS: Mapping[str, Mark] = {"better": "ok", "equal": "unclear", "regressed": "fault"}
_RIVALS = {
    "azimuth is mirrored": ((0, 1), (1.0, -1.0)),
    "elevation is mirrored": ((0, 1), (-1.0, 1.0)),
    "azimuth and elevation are swapped": ((1, 0), (1.0, 1.0)),
}


def driver_checks(
    record: DriveRecord, after: DriverEvaluation, comparison: DriverComparison
) -> list[CheckRow]:  # fmt: skip
    """The rows of the report's checks."""
    return [_convention(after), *_baselines(comparison), *_signs(record)]


def faults(rows: list[CheckRow]) -> tuple[str, ...]:
    """Descriptions of the failed checks."""
    return tuple(f"{row.question} {row.answer}" for row in rows if row.mark == "fault")


def _convention(after: DriverEvaluation) -> CheckRow:
    """Errors of the predictions against the labels, and against the labels under the likeliest wrong convention."""
    predicted, truth = np.array(after.predicted["model"]), np.array(after.truth)
    claimed = errors_deg(predicted, truth)["angular_deg"]
    rivals = {
        name: errors_deg(predicted, truth[:, order] * np.array(signs))["angular_deg"]
        for name, (order, signs) in _RIVALS.items()
    }
    name = min(rivals, key=lambda key: float(rivals[key].mean()))
    units = block_units(rivals[name] - claimed, np.array(after.times_s), after.intervals)
    verdict = paired_gain(units, after.intervals.bootstrap).verdict
    answer = (
        f"Error {number(float(claimed.mean()))}° against the labels, {number(float(rivals[name].mean()))}° for the "
        f"likeliest fault ({name})."
    )
    question = "Do the predictions after fine-tuning fit the labels better than mirrored or swapped ones?"
    return CheckRow(_MARKS.get(verdict, "unclear"), question, answer, f"{after.num_test} frames")


def _baselines(comparison: DriverComparison) -> list[CheckRow]:
    questions = {
        "constant": "Does the estimator predict better than the mean label?",
        "head pose": "Does it predict better than a regression on head pose alone?",
    }
    return [
        CheckRow(
            _STORED_MARKS[gain.verdict],
            questions[gain.against],
            f"Error {number(gain.candidate)}° against {number(gain.other)}°.",
        )
        for gain in comparison.gains
        if gain.against in questions
    ]


def _signs(record: DriveRecord) -> list[CheckRow]:
    """Whether the signs of the table's angles could be verified; the report's warnings name signs that were flipped."""
    rows = []
    for name, axis, expected, correlation in zip(
        ("azimuth", "elevation"), ("x", "y"), (1, -1), record.sign_correlations, strict=True
    ):
        grows = "grow" if expected > 0 else "fall"
        verified = correlation is not None and correlation * expected >= MIN_CORRELATION
        answer = (
            "The table has no usable pixel columns."
            if correlation is None
            else f"Correlation {number(correlation)}." + ("" if verified else " See the warnings.")
        )
        rows.append(CheckRow(
            "ok" if verified else "unclear", f"Does {name} {grows} with {axis} in the glasses' scene camera?", answer,
        ))  # fmt: skip
    return rows
