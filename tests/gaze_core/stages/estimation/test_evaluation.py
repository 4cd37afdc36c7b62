"""Evaluation and comparison of drawn people: every row, the checks of labels, refusals."""

import numpy as np
import pytest

from gaze_core.errors import ContractViolation
from gaze_core.estimation.report import ROWS, EstimationTolerance
from gaze_core.stages.context import StageContext
from gaze_core.stages.estimation import compare, evaluate
from tests.gaze_core.estimation.drawn_people import write_people
from tests.gaze_core.estimation.trained import EVALUATE, PEOPLE, RUNTIME, train_all


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_all(tmp_path_factory.mktemp("trained"), noise=0.05)[0]


@pytest.fixture(scope="module")
def found(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    evaluate.run(EVALUATE, trained, StageContext(RUNTIME, folder))
    return evaluate.read_estimation(folder), folder


def means(found, measure="all"):
    return {name: row.measures[measure].value for name, row in found.rows.items()}


def halved(report):
    """The same evaluation of a temporal model with half the error on each person."""
    row = report.rows["temporal"]
    errors = {measure: {one: error / 2 for one, error in of.items()} for measure, of in row.by_participant.items()}
    return report.model_copy(
        update={"rows": {**report.rows, "temporal": row.model_copy(update={"by_participant": errors})}}
    )


def test_every_row_stands_beside_the_model(found):
    report, _ = found
    assert set(report.rows) == set(ROWS)
    assert report.participants == ("test01", "test02")
    assert (report.num_frames, report.num_recordings) == (120, 2)
    errors = means(report)
    assert errors["temporal"] < errors["single frame"] < errors["constant"]
    assert errors["temporal"] < errors["shuffled time"]
    row = report.rows["temporal"]
    assert row.measures["pursuit"].absent == "no such frames"
    assert set(row.groups) == {"participant", "stimulus", "camera", "gaze angle", "head angle"}
    assert row.groups["stimulus"]["points"] == pytest.approx(
        np.mean([*row.by_participant["all"].values()]), abs=1e-9
    )  # both have as many frames
    jitter = means(report, "jitter")
    assert jitter["constant"] < 0.1 < jitter["EMA"] < jitter["single frame"]  # the eye's own drift is hardly there
    # A degree is 1.05 cm at 0.6 m, straight ahead.
    assert 0.9 < row.measures["pog_cm"].value / errors["temporal"] < 1.4
    assert len(report.position_deg) == len(report.position_single_deg) == 16
    assert {(c.method, c.count) for c in report.calibration if c.row == "temporal"} == {
        (method, count) for method in ("bias", "affine") for count in (1, 5, 9, 20)
    }
    constant = {c.count: c.error.value for c in report.calibration if (c.row, c.method) == ("constant", "bias")}
    assert constant[20] < constant[1]
    assert report.faults == ()
    assert [check.mark for check in report.checks] == ["ok", "ok", "ok"]


def test_the_comparison_is_paired_over_people(found, tmp_path):
    report, folder = found
    compare.run(EstimationTolerance(), {"candidate": folder}, StageContext(RUNTIME, tmp_path))
    comparison = compare.read_estimation_comparison(tmp_path)
    gain = comparison.gain("single frame")
    people = [report.rows[name].by_participant["all"] for name in ("single frame", "temporal")]
    expected = np.mean([people[0][one] - people[1][one] for one in report.participants])
    assert (gain.gain, gain.num_participants) == (pytest.approx(expected), 2)
    assert comparison.verdict == gain.verdict
    assert comparison.gain("constant").verdict == "better"
    steadier = compare.compare(halved(report), None, EstimationTolerance())
    assert steadier.verdict == steadier.gain("single frame").verdict == "better"
    assert any("in saccades" in reason for reason in steadier.reasons)


def test_with_a_failed_check_nothing_is_better(found):
    report, _ = found
    fault = report.checks[0].model_copy(update={"mark": "fault"})
    faulty = halved(report).model_copy(update={"checks": (fault,)})
    comparison = compare.compare(faulty, None, EstimationTolerance())
    assert comparison.verdict == "equal"
    assert "no candidate is better that fails a check" in comparison.reasons[-1]


def test_against_another_model_the_verdict_is_the_other_s(found):
    report, _ = found
    worse = report.model_copy(update={"rows": report.rows | {"temporal": report.rows["constant"]}})
    assert compare.compare(report, worse, EstimationTolerance()).verdict == "better"
    assert compare.compare(worse, report, EstimationTolerance()).verdict == "regressed"
    other = report.model_copy(update={"frames_digest": "other"})
    with pytest.raises(ContractViolation, match="not the same, or whose labels differ"):
        compare.compare(report, other, EstimationTolerance())


WRONG = {
    "yaw is mirrored": lambda gaze: gaze * [1, -1],
    "pitch is mirrored": lambda gaze: gaze * [-1, 1],
    "pitch and yaw are swapped": lambda gaze: gaze[:, ::-1].copy(),
}


@pytest.mark.parametrize("fault", WRONG)
def test_labels_that_are_wrong_throughout_are_caught_though_the_model_predicts_them(trained, tmp_path, fault):
    # The labels of all people are wrong, and so is what a model learns from them: its own errors tell nothing.
    data = write_people(tmp_path / "data", PEOPLE, noise=0.05, wrong=WRONG[fault])
    (tmp_path / "out").mkdir()
    evaluate.run(EVALUATE, {**trained, "data": data}, StageContext(RUNTIME, tmp_path / "out"))
    report = evaluate.read_estimation(tmp_path / "out")
    pupils, screen, _ = report.checks
    assert (pupils.mark, screen.mark) == ("fault", "fault")
    assert fault in pupils.answer
    assert len(report.faults) >= 2


def test_a_head_of_another_model_is_refused(trained, tmp_path):
    from gaze_core.estimation.features import FeatureIndex

    index = FeatureIndex.read(trained["features"])
    folder = tmp_path / "features"
    folder.mkdir()
    for path in trained["features"].glob("*.npz"):
        (folder / path.name).symlink_to(path)
    index.model_copy(update={"token_width": 17}).write(folder)
    with pytest.raises(ContractViolation, match="reads tokens of 16 channels, the features have 17"):
        evaluate.run(EVALUATE, {**trained, "features": folder}, StageContext(RUNTIME, tmp_path))
