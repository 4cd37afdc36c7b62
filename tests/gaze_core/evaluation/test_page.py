"""The report page: complete, self-contained, safe against what is written in it, and equal to its JSON twin."""

import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from gaze_core.evaluation.comparison import compare
from gaze_core.evaluation.figures import PicturePoint, Series, line_chart, short
from gaze_core.evaluation.page import Pictures, ReportData, StageRow, duration, signed_deg, write_report
from gaze_core.evaluation.pictures import _ARRAYS, content_box, png_data_uri
from gaze_core.evaluation.report import EvaluationReport, Tolerance
from tests.gaze_core.evaluation.reports import COUNT, FAULT, report

STABLE_KEYS = {
    "psnr_db", "gaze_error_deg", "identity_copy_gaze_error_deg", "head_error_deg", "num_samples", "baseline", "verdict",
    "seconds", "protocol", "checks", "estimates", "instruments",
}  # fmt: skip


def evaluation(gaze_deg: float, psnr_db: float, head_deg: float | None = 4.25, checks=()) -> EvaluationReport:
    head = (head_deg,) * COUNT if head_deg else None
    return report((gaze_deg,) * COUNT, (psnr_db,) * COUNT, checks=checks, head_deg=head)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 200, (2, 10, 8, 8, 3), dtype=np.uint8)
    gazes = [f"gaze +0°, {yaw:+d}°" for yaw in (0, 25, -25, 10, -10)]
    poses = ["head +0°, -20°", "head +0°, +0°", "head +0°, +20°"]
    curve_deg = np.array([[[12.0, 3.5, 14.0], [24.0, np.nan, 25.0]]])
    curve = {"curve_eyes": noise[:1, :2], "curve_deg": curve_deg, "curve_gazes_deg": [[0, 12], [0, 24]]}
    return Pictures(noise[:, 0], noise[:, 1], noise[:, 2:7], noise[:, 7:], noise[:, :6], gazes, poses,
                    head_labels=["ann, frame 3", "ann, frame 9"], **curve)  # fmt: skip


@pytest.fixture
def data(pictures):
    candidate, baseline = evaluation(6.5, 24), evaluation(9, 23.5, head_deg=None)
    return ReportData(
        title="Redirection of <script>alert(1)</script>",
        candidate=candidate,
        pictures=pictures,
        seconds=125.04,
        candidate_name="DiT renderer",
        baseline=baseline,
        comparison=compare(candidate, baseline, Tolerance()),
        baseline_pictures=pictures,
        curves={"mesh_head": {"rgb_l1": ([1, 2, 3], [0.3, 0.2, 0.1]), "empty": ([], [])}},
        enhancements=[("renderer", "depth 4 & width 192")],
        stages=[StageRow("preprocess", True, 0.25), StageRow("mesh_head", False, 61, "abc", "resumed from step 20")],
        dropped={"empty_head_mask": 17},
        versions={"torch": "2.14.1"},
        digests={"data": "d1g357"},
        notes=["Labels are exact."],
    )


class Page(HTMLParser):
    """Collects tags, the addresses they name and the visible text; refuses tags that close out of order."""

    VOID = ("meta", "img", "line", "circle", "polyline", "rect", "image")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], set(), [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "xlink:href")]
        if tag not in self.VOID and tag != "doctype":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" not in self.open:
            self.text.append(text)


def read_page(path) -> tuple[Page, str]:
    page = Page(path.read_text(encoding="utf-8"))
    return page, " ".join(" ".join(page.text).split())


def test_the_page_asks_for_nothing_outside_itself(data, tmp_path):
    path, _ = write_report(data, tmp_path / "new" / "folder")
    page, _ = read_page(path)
    assert not page.tags & {"script", "link", "iframe", "object"}
    # Heads x (original, drawn, baseline; gazes; poses; eyes), and the one point of the curve that could be read.
    assert len(page.addresses) == 2 * (3 + 5 + 3 + 6) + 1
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "url(" not in path.read_text()
    assert "@import" not in path.read_text()


def test_the_page_says_what_was_found(data, tmp_path):
    _, text = read_page(write_report(data, tmp_path)[0])
    assert "Redirection of <script>alert(1)</script>" in text  # as text, not as a tag
    assert "Better than the baseline" in text
    for fact in ("6.5 °", "25.0 °", "24.0 dB PSNR", "95 % intervals", "ann, frame 3", "asked for 0°, +12°",
                 "moved 12°, 3.5° off", "KID no weights of Inception", "GazeGaussian 6.62", "all of it",
                 "2 min 05 s", "depth 4 & width 192", "resumed from step 20",
                 "empty head mask 17", "torch 2.14.1", "d1g357", "Labels are exact.", "0.3 → 0.1"):  # fmt: skip
        assert fact in text
    assert "nan" not in text.lower().split()
    assert "None" not in text.replace("None.", "")


def test_the_json_has_stable_flat_keys_and_the_same_numbers(data, tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    facts = json.loads(write_report(data, tmp_path)[1].read_text(), parse_constant=refuse)
    assert facts.keys() >= STABLE_KEYS
    assert facts["gaze_error_deg"] == 6.5
    assert facts["baseline"]["gaze_error_deg"] == 9
    assert facts["head_error_deg"] == 4.25
    assert "head_error_deg" not in facts["baseline"]
    assert facts["verdict"] == "better"
    assert facts["seconds"] == 125.0
    assert facts["dropped"] == {"empty_head_mask": 17}


def test_a_run_without_baseline_curves_or_stages_has_a_page_too(pictures, tmp_path):
    lone = ReportData("Alone", evaluation(6.5, 24), pictures, seconds=3)
    path, facts = write_report(lone, tmp_path)
    _, text = read_page(path)
    assert "Not compared with a baseline" in text
    assert "Training" not in text
    assert "Frames left out None." in text
    assert json.loads(facts.read_text())["baseline"] is None


def test_a_fault_is_said_before_any_number(pictures, tmp_path):
    faulty = evaluation(6.5, 24, checks=(FAULT,))
    path, facts = write_report(ReportData("Faulty", faulty, pictures, seconds=3), tmp_path)
    _, text = read_page(path)
    assert text.index("Do not trust these numbers. gaze of the drawings: yaw is mirrored") < text.index("Gaze error")
    assert "no ? No: 30.00° as claimed, 4.00° for the likeliest fault (yaw is mirrored)" in text
    assert json.loads(facts.read_text())["checks"][0]["verdict"] == "fault"


def test_pictures_read_what_the_evaluate_stage_writes(pictures, tmp_path):
    path = tmp_path / "pictures.npz"
    names = {"gazes": "gaze_labels", "poses": "pose_labels", "heads": "head_labels", "curve": "curve_gazes_deg"}
    labels = json.dumps({key: getattr(pictures, name) for key, name in names.items()})
    arrays = {name: getattr(pictures, name) for name in _ARRAYS}
    np.savez_compressed(path, **arrays, labels=np.array(labels))
    loaded = Pictures.load(path)
    for name, value in arrays.items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    assert loaded.gaze_labels == pictures.gaze_labels
    assert loaded.pose_labels == pictures.pose_labels


def test_a_picture_survives_its_address(pictures):
    content = base64.b64decode(png_data_uri(pictures.original[0]).partition(",")[2])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), pictures.original[0])


def test_the_common_box_is_a_square_around_all_that_is_not_white():
    images = np.full((2, 40, 40, 3), 255, dtype=np.uint8)
    images[0, 10, 12] = 0
    images[1, 19, 14] = 0  # rows 10 to 19 and columns 12 to 14: a square of 10, centred on column 13
    assert content_box(images, margin_px=0) == (slice(10, 20), slice(8, 18))
    assert content_box(np.full((1, 4, 4, 3), 255, dtype=np.uint8)) == (slice(None), slice(None))
    assert content_box(np.zeros((1, 6, 6, 3), dtype=np.uint8)) == (slice(0, 6), slice(0, 6))


def test_a_line_falls_from_left_to_right_when_its_values_do_and_skips_what_is_not_finite():
    svg = line_chart([Series("loss", [0, 10, 20], [4.0, float("nan"), 0.0])], "loss", "step", size_px=(256, 140))
    points = svg.partition('points="')[2].partition('"')[0]
    assert points == "46.0,8.0 246.0,108.0"  # the plot is x 46 to 246, y 8 (the value 4) to 108 (the value 0)
    assert "no values" in line_chart([Series("loss", [1], [float("nan")])], "loss", "step")


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


def test_no_text_of_a_figure_is_markup():
    text = "<b>a & b</b>"
    point = PicturePoint(x=1.0, y=2.0, uri="data:,", lines=[text])
    svg = line_chart([Series("loss", [0, 1], [1.0, 2.0])], text, text, unit=text, points=[point])
    assert "<b>" not in svg
    assert svg.count("&lt;b&gt;a &amp; b&lt;/b&gt;") >= 4  # title, axis, unit, picture point
