"""The skeleton: each block on a page, and no text that is markup."""

import json
from dataclasses import fields, is_dataclass

import pytest

from gaze_core.reports import blocks
from gaze_core.reports.page import Page, Verdict, render, write_report
from tests.gaze_core.reports.html import Page as Parsed
from tests.gaze_core.reports.html import assert_self_contained

EVIL = "<u>&'\"</u>"
SVG, URI = '<svg viewBox="0 0 1 1"></svg>', "data:image/png;base64,AA=="
EVERY = [
    blocks.Heading(EVIL, EVIL),
    blocks.Text(EVIL),
    blocks.Alarm(EVIL, [EVIL]),
    blocks.Headlines([blocks.Headline(EVIL, EVIL, EVIL, EVIL)]),
    blocks.Bars(EVIL, [blocks.Bar(EVIL, 2.0, EVIL, EVIL), blocks.Bar("absent", None, "")]),
    blocks.Checks([blocks.CheckRow("fault", EVIL, EVIL, EVIL), blocks.CheckRow("ok", "q", "a")]),
    blocks.Table([blocks.Column(EVIL), blocks.Column("b", wide=True)], [(EVIL, blocks.Cell(EVIL, EVIL, hint=EVIL))]),
    blocks.Chart(SVG, [("candidate", EVIL), ("", EVIL)]),
    blocks.Charts([blocks.SmallChart(EVIL, EVIL, SVG)]),
    blocks.ImageStrip([blocks.ImageGroup(EVIL, [(EVIL, URI)]), blocks.ImageGroup("row", [("", URI)], is_row=True)]),
    blocks.Facts({EVIL: EVIL}, code=True),
    blocks.Notes([EVIL]),
    blocks.Fold(EVIL, [blocks.Text(EVIL)]),
    blocks.Columns([blocks.Text(EVIL)], [blocks.Fold("deeper", [blocks.Notes([EVIL])], is_open=True)]),
]


def page(*parts: blocks.Block) -> Page:
    return Page(EVIL, EVIL, Verdict("better", EVIL, EVIL), parts, EVIL)


def test_every_kind_of_block_is_tested_here():
    kinds = {kind for kind in vars(blocks).values() if isinstance(kind, type) and issubclass(kind, blocks.Block)}
    assert {type(block) for block in EVERY} == kinds - {blocks.Block}


@pytest.mark.parametrize("block", EVERY, ids=lambda block: block.kind)
def test_no_text_of_a_block_is_markup_and_none_is_lost(block):
    html = render(page(block))
    assert EVIL not in html
    assert "<u>" not in html
    shown = " ".join(Parsed(html).text)
    titles = html.count("title=") + html.count("alt=") + html.count("aria-label=")
    assert shown.count(EVIL) + titles >= 6 + _count(block)  # head, title, subtitle, verdict twice, footer


def _count(value) -> int:
    """How often the text is in a value."""
    if isinstance(value, str):
        return value == EVIL
    if is_dataclass(value):
        return sum(_count(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return sum(_count(key) + _count(item) for key, item in value.items())
    return sum(map(_count, value)) if isinstance(value, (list, tuple)) else 0


def test_bars_have_one_scale_and_absent_ones_are_left_out():
    bars = blocks.Bars("", [blocks.Bar("a", 2.0, ""), blocks.Bar("b", 0.5, ""), blocks.Bar("c", None, "")])
    assert [(bar.name, percent) for bar, percent in bars.visible] == [("a", 100.0), ("b", 25.0)]


def test_a_row_that_does_not_fit_its_columns_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        render(page(blocks.Table([blocks.Column("a"), blocks.Column("b")], [("one",)])))


def test_page_and_facts_are_written_together_or_not_at_all(tmp_path):
    html, facts = write_report(page(*EVERY), {"a": 1.5}, tmp_path / "new", "name")
    assert (html.name, json.loads(facts.read_text())) == ("name.html", {"a": 1.5})
    assert_self_contained(html)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(page(), {"a": float("nan")}, tmp_path / "other")
    assert not (tmp_path / "other").exists()
