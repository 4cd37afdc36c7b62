"""The page of a driver run: every section, numbers with intervals, no markup in a user's names."""

import numpy as np

from gaze_core.driver.page import DriverReportData, driver_page
from gaze_core.driver.report import DriverTolerance, compare
from gaze_core.reports.blocks import ImageGroup, ImageStrip
from gaze_core.reports.images import jpeg_data_uri
from gaze_core.reports.page import write_report
from gaze_core.reports.sources import Sources, StageRow, TrainedRow
from tests.gaze_core.driver.drives import AFTER, BEFORE, evaluation, record
from tests.gaze_core.reports.html import assert_self_contained, headings, read_page

SECTIONS = [
    "Example frames", "Checks", "Errors", "Errors by scenario and by gaze zone", "Training curves", "Data",
    "Trained models", "Sources",
]  # fmt: skip


def report(predicted=AFTER, **changes) -> DriverReportData:
    before, after = evaluation(BEFORE), evaluation(predicted)
    image = jpeg_data_uri(np.zeros((8, 8, 3), np.uint8))
    return DriverReportData(
        record=record(name="<i>drive</i>", **changes), before=before, after=after,
        comparison=compare(after, before, DriverTolerance()), seconds=3, provenance=["40 frames requested."],
        examples=[ImageStrip([ImageGroup("Evenly spread", [("1.5 s", image)])])],
        curves={"gaze_rad": ([1, 2], [0.2, 0.1])},
        sources=Sources(
            trained=[TrainedRow("finetuned", "ended after step 30", "/store/x")],
            stages=[StageRow("driver_extract", "cached", 1)],
            dropped={"no_face": 2},
        ),
    )  # fmt: skip


def written(data, tmp_path):
    path, _ = write_report(driver_page(data), {}, tmp_path)
    return path, read_page(path)[1]


def test_the_page_has_every_section_and_the_results(tmp_path):
    path, text = written(report(), tmp_path)
    assert headings(path) == SECTIONS
    assert_self_contained(path)
    assert "<i>" not in path.read_text()
    for fact in ("<i>drive</i>", "city <1>", "Better than before fine-tuning", "beats every baseline", "40 test frames",
                 "before, bias corrected", "constant baseline", "azimuth below \N{MINUS SIGN}15°", "improved", "gaze, rad",
                 "/store/x", "no face 2", "gain +", "Share of frames below an error", "5.50°", "9.50°"):  # fmt: skip
        assert fact in text
    assert "Do not trust" not in text
    assert text.count(" to ") > 20  # intervals


def test_failed_checks_and_warnings_come_before_any_number(tmp_path):
    data = report(AFTER * [1, -1], warnings=("sign of azimuth not verified",))
    _, text = written(data, tmp_path)
    first_number = text.index("Azimuth error after fine-tuning")
    assert text.index("Do not trust these numbers.") < first_number
    assert text.index("sign of azimuth not verified") < first_number
    assert any("azimuth is mirrored" in fault for fault in data.faults)
    assert "Worse than before fine-tuning" in text
