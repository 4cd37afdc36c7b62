"""The search for settings: by the validation frames, remembered, and going on with what was interrupted."""

import pytest

from gaze_core.config import Runtime
from gaze_core.plans.redirection import redirection_plan
from tests.flows.test_redirection import STEPS
from tests.tiny_subject import write_tiny_subject

pytest.importorskip("optuna", reason="the extra gazeworks[search] is not installed")
RUNTIME = Runtime(device="cpu", progress=False)


@pytest.mark.usefixtures("prefect_api")
def test_trials_are_remembered_and_an_interrupted_one_is_tried_again(tmp_path, monkeypatch):
    from flows import search as module
    from flows.search import Range, SearchConfig, search

    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=20, size_px=128)
    plan = redirection_plan("tiny", "synthetic", [*STEPS, "preprocess.validation_fraction=0.3"])
    ranges = (Range(key="gaze_gaussian.loss_weights.eyes_l1", low=0.3, high=3.0),)
    train, asked = module.train_gaze_gaussian, []

    def watched(data, head, config, runtime):
        asked.append(config.loss_weights.eyes_l1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return train(data, head, config, runtime)

    monkeypatch.setattr(module, "train_gaze_gaussian", watched)
    config = SearchConfig(num_trials=2, ranges=ranges)
    with pytest.raises(KeyboardInterrupt):
        search.fn(subject, plan, config, RUNTIME)
    result = search.fn(subject, plan, config, RUNTIME)
    assert asked[2] == asked[1] != asked[0]
    assert len(asked) == 3
    assert [trial.settings[ranges[0].key] for trial in result.trials] == [asked[0], asked[1]]
    assert all(0.3 <= value <= 3 for value in asked)
    assert any(trial.is_best for trial in result.trials)
    lowest = min(result.trials, key=lambda trial: trial.gaze_error_deg)
    for trial in result.trials:
        expected = (None,) if trial == lowest else ("regressed", "within noise", "cannot tell")
        assert trial.against_lowest in expected
    assert result.perceptual_name in ("lpips", "st_lpips", "1 - ssim")
    again = search.fn(subject, plan, config, RUNTIME)
    assert again == result
    assert len(asked) == 3


def test_validation_frames_are_measured_and_test_frames_are_not(tmp_path):
    from gaze_core.data.splits import SPLITS_FILE, read_splits
    from gaze_core.stages.context import StageContext
    from gaze_core.stages.redirection import evaluate
    from gaze_core.stages.redirection.evaluate import EvaluateConfig
    from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset

    write_dataset(tmp_path)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, tmp_path, tmp_path / stage)
    inputs = {"data": tmp_path / "data", "checkpoint": tmp_path / "gaze_gaussian"}
    (splits,) = read_splits(tmp_path / "data" / SPLITS_FILE).subjects
    for split in ("test", "validation"):
        config = EvaluateConfig(num_shown=1, split=split)
        (tmp_path / split).mkdir()
        produced = evaluate.run(config, inputs, StageContext(RUNTIME, tmp_path / split))
        report = evaluate_report(produced)
        assert set(report.subjects[0].target_index) == set(getattr(splits, split))


def evaluate_report(produced):
    from gaze_core.evaluation.report import EvaluationReport
    from gaze_core.stages.redirection.evaluate import EVALUATION_FILE

    return EvaluationReport.model_validate_json(produced.files[EVALUATION_FILE].read_text())
