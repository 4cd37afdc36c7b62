"""The report page of a drawn talking head."""

import pytest

from gaze_core.preprocess.images import write_png
from gaze_core.reports.page import write_report
from gaze_core.talker.page import TalkerReportData, talker_page
from gaze_core.talker.report import TalkerTolerance, compare
from gaze_core.talker.series import Series
from tests.gaze_core.reports.html import assert_self_contained, headings, read_page
from tests.gaze_core.talker.test_measuring import measured

SECTIONS = ["Held-out time", "Checks", "Numbers", "Mouth and sound", "Eyes", "Published numbers", "Data", "Sources"]


@pytest.mark.parametrize("uses_audio", [True, False])
def test_the_page_says_whether_the_sound_is_used(tmp_path, uses_audio):
    found, pictures, series = measured(uses_audio=uses_audio)
    for name, image in pictures.strips.items():
        place = tmp_path / "evaluation" / f"{name}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_png(place, image)
    series.write(tmp_path / "series.json")
    data = TalkerReportData(
        title="Talking head: drawn", subtitle="a test", evaluation=found,
        comparison=compare(found, None, TalkerTolerance()), seconds=3.0, pictures=tmp_path / "evaluation",
        series=Series.read(tmp_path / "series.json"), film="film.mp4",
    )  # fmt: skip
    html, _ = write_report(talker_page(data), {}, tmp_path)
    assert_self_contained(html)
    assert headings(html) == SECTIONS
    _, text = read_page(html)
    assert ("the sound is not used" in text) != uses_audio
    assert ("Do not trust these numbers." in text) != uses_audio
    for fact in (
        "film.mp4",
        "as transcribed",
        "the true torso of the same frame",
        "not asked, asked, truth",
        "generator",
    ):
        assert fact in text
