"""Checks of a driver report, on predictions with a known fault."""

import pytest

from gaze_core.driver.checks import driver_checks, faults
from gaze_core.driver.report import DriverTolerance, compare
from tests.gaze_core.driver.drives import AFTER, BEFORE, evaluation, record


def checks(predicted, **changes):
    after = evaluation(predicted)
    return driver_checks(record(**changes), after, compare(after, evaluation(BEFORE), DriverTolerance()))


def test_a_good_estimator_passes_every_check():
    rows = checks(AFTER)
    assert [row.mark for row in rows] == ["ok"] * 5
    assert faults(rows) == ()


@pytest.mark.parametrize(
    ("predicted", "name"),
    [
        (AFTER * [1, -1], "azimuth is mirrored"),
        (AFTER * [-1, 1], "elevation is mirrored"),
        (AFTER[:, ::-1], "azimuth and elevation are swapped"),
    ],
)
def test_a_wrong_convention_fails_by_its_name(predicted, name):
    rows = checks(predicted)
    assert rows[0].mark == "fault"
    assert any(name in fault for fault in faults(rows))


def test_signs_that_the_scene_does_not_confirm_are_unclear():
    rows = checks(AFTER, sign_correlations=(None, 0.9))
    assert [row.mark for row in rows[-2:]] == ["unclear", "unclear"]
    assert "no usable pixel columns" in rows[-2].answer
    assert "See the warnings" in rows[-1].answer
