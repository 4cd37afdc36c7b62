"""Training curves: which number is which, by its name."""

from gaze_core.reports.blocks import Charts, Fold, Heading
from gaze_core.reports.curves import curve_blocks, curve_title, curves_of

ROWS = [
    {"step": 1, "gaze_deg": 9.0, "rgb_l1": 0.3, "weighted/gaze_deg": 0.9, "loss": 1.2},
    {"step": 2, "validation/head_l1": 0.5},
    {"step": 2, "gaze_deg": 6.0, "rgb_l1": 0.2, "weighted/gaze_deg": 0.6, "loss": 0.8},
]


def test_curves_hold_each_number_over_its_own_steps_validation_first():
    curves = curves_of(ROWS)
    assert list(curves) == ["validation/head_l1", "loss", "gaze_deg", "rgb_l1", "weighted/gaze_deg"]
    assert curves["gaze_deg"] == ([1, 2], [9.0, 6.0])
    assert curves["validation/head_l1"] == ([2], [0.5])


def test_titles_have_units_where_the_number_has_one():
    names = ("gaze_error_deg", "landmarks_dm2", "rgb_l1", "validation/gaze_error_deg", "weighted/gaze_deg", "loss")
    assert [curve_title(name) for name in names] == [
        "gaze error, °", "landmarks, dm²", "rgb l1", "validation: gaze error, °", "weighted: gaze deg", "loss",
    ]  # fmt: skip


def test_weighted_terms_are_collapsed_below_those_in_their_units():
    blocks = curve_blocks({"mesh_head": curves_of(ROWS), "untrained": {}})
    assert [type(block) for block in blocks] == [Heading, Heading, Charts, Fold]
    assert [chart.name for chart in blocks[2].items] == ["validation: head l1", "loss", "gaze, °", "rgb l1"]
    assert [chart.change for chart in blocks[2].items][2] == "9 → 6"
    assert "<circle" in blocks[2].items[0].svg  # one value, which no line shows
    (weighted,) = blocks[3].blocks
    assert [chart.name for chart in weighted.items] == ["weighted: gaze deg"]
    assert curve_blocks({"untrained": {}}) == []
