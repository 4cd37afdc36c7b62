"""The report page: complete, self-contained, safe against what is written in it, and equal to its JSON twin."""

import json

import numpy as np
import pytest

from gaze_core.evaluation.comparison import compare
from gaze_core.evaluation.page import ReportData
from gaze_core.evaluation.report import EvaluationReport, Tolerance
from gaze_core.evaluation.report_files import write_report
from gaze_core.evaluation.report_images import _ARRAYS, ReportImages
from gaze_core.reports.sources import Sources, StageRow, TrainedRow
from tests.gaze_core.evaluation.reports import COUNT, FAULT, report
from tests.gaze_core.reports.html import assert_self_contained, headings, read_page

STABLE_KEYS = {
    "psnr_db", "gaze_error_deg", "identity_copy_gaze_error_deg", "head_error_deg", "num_samples", "baseline", "verdict",
    "seconds", "protocol", "checks", "estimates", "instruments",
}  # fmt: skip
SECTIONS = [
    "Held-out heads", "Checks", "Metrics", "Published results", "Training curves", "Model and losses", "Notes",
    "Trained models", "Sources",
]  # fmt: skip


def evaluation(gaze_deg: float, psnr_db: float, head_deg: float | None = 4.25, checks=()) -> EvaluationReport:
    head = (head_deg,) * COUNT if head_deg else None
    return report((gaze_deg,) * COUNT, (psnr_db,) * COUNT, checks=checks, head_deg=head)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 200, (2, 10, 8, 8, 3), dtype=np.uint8)
    gazes = [f"gaze +0°, {yaw:+d}°" for yaw in (0, 25, -25, 10, -10)]
    poses = ["head +0°, -20°", "head +0°, +0°", "head +0°, +20°"]
    curve_deg = np.array([[[12.0, 3.5, 14.0], [24.0, np.nan, 25.0]]])
    curve = {"curve_eyes": noise[:1, :2], "curve_deg": curve_deg, "curve_gazes_deg": [[0, 12], [0, 24]]}
    return ReportImages(noise[:, 0], noise[:, 1], noise[:, 2:7], noise[:, 7:], noise[:, :6], gazes, poses,
                    head_labels=["ann, frame 3", "ann, frame 9"], **curve)  # fmt: skip


@pytest.fixture
def data(images):
    candidate, baseline = evaluation(6.5, 24), evaluation(9, 23.5, head_deg=None)
    return ReportData(
        title="Redirection of <script>alert(1)</script>",
        candidate=candidate,
        images=images,
        seconds=125.04,
        candidate_name="DiT renderer",
        baseline=baseline,
        comparison=compare(candidate, baseline, Tolerance()),
        baseline_images=images,
        curves={"mesh_head": {"rgb_l1": ([1, 2, 3], [0.3, 0.2, 0.1]), "empty": ([], [])}},
        enhancements=[("renderer", "depth 4 & width 192")],
        sources=Sources(
            trained=[TrainedRow("candidate", "ended after step 260", "/store/<b>/weights")],
            stages=[StageRow("preprocess", "cached", 0.25), StageRow("mesh_head", "resumed", 61, "abc", "lost")],
            dropped={"empty_head_mask": 17},
            versions={"torch": "2.14.1"},
            digests={"data": "d1g357"},
            has_log=True,
        ),
        notes=["Labels are exact."],
    )


def test_the_page_is_self_contained(data, tmp_path):
    path, _ = write_report(data, tmp_path / "new" / "folder")
    page, _ = read_page(path)
    assert_self_contained(path)
    # Heads x (original, rendered, baseline; gazes; poses; eyes), and the one point of the curve with a valid prediction.
    assert len(page.addresses) == 2 * (3 + 5 + 3 + 6) + 1
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)


def test_the_page_contains_the_results(data, tmp_path):
    path, _ = write_report(data, tmp_path)
    _, text = read_page(path)
    assert "Redirection of <script>alert(1)</script>" in text  # as text, not as a tag
    assert "Better than the baseline" in text
    for fact in ("6.5 °", "25.0 °", "24.0 dB PSNR", "95% bootstrap intervals", "ann, frame 3", "target 0°, +12°",
                 "redirected by 12°, error 3.5°", "KID no weights of Inception", "GazeGaussian 6.62", "all of it",
                 "2 min 05 s", "depth 4 & width 192", "computed, continued from its last checkpoint, lost",
                 "candidate ended after step 260 /store/<b>/weights", "log.txt beside this page",
                 "empty head mask 17", "torch 2.14.1", "d1g357", "Labels are exact.", "0.3 → 0.1"):  # fmt: skip
        assert fact in text
    assert headings(path) == SECTIONS
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


def test_a_run_without_baseline_curves_or_stages_has_a_page_too(images, tmp_path):
    lone = ReportData("Alone", evaluation(6.5, 24), images, seconds=3)
    path, facts = write_report(lone, tmp_path)
    _, text = read_page(path)
    assert "Not compared with a baseline" in text
    assert "Training" not in text
    assert "Frames left out None." in text
    assert json.loads(facts.read_text())["baseline"] is None


def test_a_fault_comes_before_any_number(images, tmp_path):
    faulty = evaluation(6.5, 24, checks=(FAULT,))
    path, facts = write_report(ReportData("Faulty", faulty, images, seconds=3), tmp_path)
    _, text = read_page(path)
    assert text.index("Do not trust these numbers. gaze of the renderings: yaw is mirrored") < text.index("Gaze error")
    assert "failed ? No: 30.00° as claimed, 4.00° for the likeliest fault (yaw is mirrored)" in text
    found = json.loads(facts.read_text())
    assert found["checks"][0]["verdict"] == "fault"
    assert found["faults"] == ["gaze of the renderings: yaw is mirrored"]


def test_images_read_what_the_evaluate_stage_writes(images, tmp_path):
    path = tmp_path / "images.npz"
    names = {"gazes": "gaze_labels", "poses": "pose_labels", "heads": "head_labels", "curve": "curve_gazes_deg"}
    labels = json.dumps({key: getattr(images, name) for key, name in names.items()})
    arrays = {name: getattr(images, name) for name in _ARRAYS}
    np.savez_compressed(path, **arrays, labels=np.array(labels))
    loaded = ReportImages.load(path)
    for name, value in arrays.items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    assert loaded.gaze_labels == images.gaze_labels
    assert loaded.pose_labels == images.pose_labels
