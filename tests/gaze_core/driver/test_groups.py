"""Errors by scenario and by gaze zone."""

import numpy as np
import pytest

from gaze_core.driver.groups import angular_errors_deg, by_scenario, by_zone
from tests.gaze_core.driver.drives import AFTER, BEFORE, COUNT, TRUTH_DEG, evaluation, record


def test_scenarios_partition_the_frames_and_have_verdicts():
    worse_in_city = AFTER.copy()
    worse_in_city[: COUNT // 2] += 15
    before, after = evaluation(BEFORE), evaluation(worse_in_city)
    city, motorway = by_scenario(record(), before, after)
    assert (city.name, motorway.name) == ("city <1>", "motorway")
    assert (city.verdict, motorway.verdict) == ("regressed", "improved")
    errors = angular_errors_deg(after)
    assert city.after.value == errors[: COUNT // 2].mean()
    assert motorway.after.value == errors[COUNT // 2 :].mean()
    assert city.before.low < city.before.value < city.before.high


def test_each_frame_is_in_one_zone_of_azimuth_and_one_of_elevation():
    groups = by_zone(evaluation(BEFORE), evaluation(AFTER))
    for axis, column in (("azimuth", 1), ("elevation", 0)):
        of_axis = [group for group in groups if group.name.startswith(axis)]
        assert sum(group.after.num_samples for group in of_axis) == COUNT
        below = next(group for group in of_axis if "below" in group.name)
        limit = float(below.name.rpartition(" ")[2].rstrip("°").replace("\N{MINUS SIGN}", "-"))
        assert below.after.num_samples == np.sum(TRUTH_DEG[:, column] < limit) > 0


@pytest.mark.parametrize(("count", "verdict"), [(1, "cannot tell"), (7, "cannot tell"), (8, "improved")])
def test_groups_of_few_frames_have_no_verdict(count, verdict):
    names = (*["few"] * count, *["rest"] * (COUNT - count))
    frames = tuple(
        frame.model_copy(update={"scenario": name}) for frame, name in zip(record().frames, names, strict=True)
    )
    few, _ = by_scenario(record(frames=frames), evaluation(BEFORE), evaluation(AFTER))
    assert (few.after.num_samples, few.verdict) == (count, verdict)
    assert (few.after.low is None) == (count == 1)
