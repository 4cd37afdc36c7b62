"""Checks of a driver report, on predictions with a known fault."""

import pytest

from gaze_core.driver.checks import cannot_tell, driver_checks, faults
from gaze_core.driver.report import DriverTolerance, compare
from tests.gaze_core.driver.drives import AFTER, BEFORE, TRUTH_DEG, evaluation, record


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


def test_signs_that_the_scene_does_not_confirm_cannot_be_told():
    rows = checks(AFTER, sign_correlations=(None, 0.9))
    assert [row.mark for row in rows[-2:]] == ["cannot tell", "cannot tell"]
    assert "no usable pixel columns" in rows[-2].answer
    assert "See the warnings" in rows[-1].answer


@pytest.mark.parametrize(("scale", "mark"), [((1, 1), "fault"), ((0.4, 1), "cannot tell"), ((0.4, 0.1), "cannot tell")])
def test_a_small_range_of_gaze_cannot_tell_a_mirror(scale, mark):
    # Labels that lie below and predictions above the horizon by more than the labels vary: mirrored, they fit better.
    truth = (TRUTH_DEG - TRUTH_DEG.mean(axis=0)) * scale - [4, 0]
    after = evaluation(truth * [-1, 1]).model_copy(update={"truth": tuple(map(tuple, truth))})
    rows = driver_checks(record(), after, compare(evaluation(AFTER), evaluation(BEFORE), DriverTolerance()))
    assert rows[0].mark == mark
    assert ("elevation is mirrored" in str(faults(rows))) == (mark == "fault")
    assert ("range of gaze is too small" in str(cannot_tell(rows))) == (mark == "cannot tell")


def test_few_frames_cannot_tell():
    after = evaluation(AFTER * [1, -1])
    few = {"num_test": 12, "positions": after.positions[:12], "times_s": after.times_s[:12], "truth": after.truth[:12]}
    few["predicted"] = {name: values[:12] for name, values in after.predicted.items()}
    after = after.model_copy(update=few)
    rows = driver_checks(record(), after, compare(evaluation(AFTER), evaluation(BEFORE), DriverTolerance()))
    assert rows[0].mark == "cannot tell"
    assert "12 readable images, 20 are needed" in rows[0].answer
