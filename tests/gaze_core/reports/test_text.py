import pytest

from gaze_core.reports.text import counted, duration, short, signed_deg


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12_345, "12.3k"), (0.00012, "1.2e-4"), (0.25, "0.25"), (320.0, "320")]
)
def test_short_numbers(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (42.4, "42 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3720, "1 h 02 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_degrees_have_proper_signs():
    assert [signed_deg(value) for value in (0, -0.2, 25, -15)] == ["0°", "0°", "+25°", "\N{MINUS SIGN}15°"]


def test_one_is_singular():
    assert [counted(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
