"""Charts: geometry of a line, values that are not finite, and text that is no markup."""

from gaze_core.reports.charts import ImagePoint, Series, line_chart


def test_a_line_falls_from_left_to_right_when_its_values_do_and_skips_what_is_not_finite():
    svg = line_chart([Series("loss", [0, 10, 20], [4.0, float("nan"), 0.0])], "loss", "step", size_px=(256, 140))
    points = svg.partition('points="')[2].partition('"')[0]
    assert points == "46.0,8.0 246.0,108.0"  # the plot is x 46 to 246, y 8 (the value 4) to 108 (the value 0)
    assert "no values" in line_chart([Series("loss", [1], [float("nan")])], "loss", "step")


def test_no_text_of_a_chart_is_markup():
    text = "<b>a & b</b>"
    point = ImagePoint(x=1.0, y=2.0, uri="data:,", lines=[text])
    svg = line_chart([Series("loss", [0, 1], [1.0, 2.0])], text, text, unit=text, points=[point])
    assert "<b>" not in svg
    assert svg.count("&lt;b&gt;a &amp; b&lt;/b&gt;") >= 4  # title, axis, unit, image point
