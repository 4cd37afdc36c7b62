"""Stage: evaluates an estimator on the test blocks of a drive, with baselines that need no fine-tuning."""

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.driver.blocks import IntervalConfig
from gaze_core.driver.checkpoints import load_estimator, require_unseen_frames
from gaze_core.driver.predictions import Drive
from gaze_core.driver.report import (
    DriverEvaluation,
    FewShot,
    ModelName,
    Pairs,
    ScenarioRow,
    errors_deg,
    summarize,
)
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.evaluation.baselines import (
    Angles,
    affine_correction,
    bias_correction,
    constant,
    few_shot,
    head_features,
    head_pose_regression,
)
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "driver_evaluate", 2
EVALUATION_FILE = "driver_evaluation.json"


class DriverEvaluateConfig(Config):
    """How the errors are aggregated."""

    intervals: IntervalConfig = IntervalConfig()
    few_shot_counts: tuple[PositiveInt, ...] = (4, 9, 32, 128)
    few_shot_draws: PositiveInt = 10


def run(config: DriverEvaluateConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Measures `inputs["checkpoint"]` on the test blocks of `inputs["data"]`.

    Raises:
        BadInput: the drive has no labels.
        ContractViolation: the estimator was trained on test frames.
    """
    drive = Drive.open(inputs["data"])
    if not drive.record.labelled:
        raise BadInput(f"{drive.record.name}: has no gaze labels to measure against; extract it with the tracker's CSV")
    model, card = load_estimator(inputs["checkpoint"], context.runtime)
    drive.require_view_of(card["normalization"])
    require_unseen_frames(card, drive.record, drive.splits)
    train, test = list(drive.splits.train), list(drive.splits.test)
    truth = drive.record.tracker
    by_role = {
        role: drive.in_label_frame(drive.predict(model, items), items)
        for role, items in (("train", train), ("test", test))
    }
    predicted = _predictors(drive, truth, by_role["train"], by_role["test"])
    times_s = drive.record.times_s[test]
    truth_deg = np.rad2deg(truth[test])
    evaluation = DriverEvaluation(
        drive=drive.record.name,
        num_train=len(train),
        num_test=len(test),
        errors={
            name: summarize(np.rad2deg(values), truth_deg, times_s, config.intervals)
            for name, values in predicted.items()
        },
        few_shot=_few_shot(config, by_role["train"], truth[train], by_role["test"], truth_deg),
        scenarios=_scenarios(drive, np.rad2deg(predicted["model"]), truth_deg),
        positions=tuple(test),
        times_s=tuple(times_s.tolist()),
        truth=_pairs(truth_deg),
        predicted={name: _pairs(np.rad2deg(values)) for name, values in predicted.items()},
        intervals=config.intervals,
    )
    path = context.work_dir / EVALUATION_FILE
    path.write_text(evaluation.model_dump_json(indent=1))
    own = evaluation.errors["model"]
    metrics = {f"{name}_error": getattr(own, name).mean for name in ("azimuth_deg", "elevation_deg", "angular_deg")}
    return Produced(kind="report", files={EVALUATION_FILE: path}, metrics=metrics)


def read_driver_evaluation(folder: Path) -> DriverEvaluation:
    """The evaluation that this stage wrote.

    Raises:
        ContractViolation: the folder has no evaluation.
    """
    try:
        return DriverEvaluation.model_validate_json((folder / EVALUATION_FILE).read_text())
    except (OSError, ValueError) as error:
        raise ContractViolation(f"{folder}: no evaluation of a driver estimator ({error})") from error


def _predictors(drive: Drive, truth: Angles, read_train: Angles, read_test: Angles) -> dict[ModelName, Angles]:
    """Predicted angles of the test frames by the model and each baseline; baselines are fitted to the training blocks."""
    train, test = list(drive.splits.train), list(drive.splits.test)
    features = head_features(drive.head_to_camera)
    by_head = head_pose_regression(features[train], truth[train])
    return {
        "model": read_test,
        "constant": constant(truth[train], len(test)),
        "head pose": by_head(features[test]),
        "bias": bias_correction(read_train, truth[train])(read_test),
        "affine": affine_correction(read_train, truth[train])(read_test),
    }


def _few_shot(
    config: DriverEvaluateConfig, predicted: Angles, truth: Angles, test: Angles, test_truth_deg: Angles
) -> tuple[FewShot, ...]:
    rows = []
    for count in (n for n in config.few_shot_counts if n <= len(predicted)):
        for method, fit in (("bias", bias_correction), ("affine", affine_correction)):
            draws = few_shot(fit, predicted, truth, test, count, config.few_shot_draws)
            means = [float(errors_deg(np.rad2deg(draw), test_truth_deg)["angular_deg"].mean()) for draw in draws]
            rows.append(
                FewShot(method=method, count=count, angular_deg=float(np.mean(means)), worst_draw_deg=max(means))  # type: ignore[arg-type]
            )
    return tuple(rows)


def _scenarios(drive: Drive, predicted_deg: Angles, truth_deg: Angles) -> tuple[ScenarioRow, ...]:
    """Errors by scenario, in the order in which scenarios first occur."""
    names = np.array([drive.record.frames[position].scenario for position in drive.splits.test])
    errors = errors_deg(predicted_deg, truth_deg)
    order = dict.fromkeys(frame.scenario for frame in drive.record.frames)
    return tuple(
        ScenarioRow(
            scenario=name,
            num_frames=int((names == name).sum()),
            **{metric: float(values[names == name].mean()) for metric, values in errors.items()},
        )
        for name in order
        if (names == name).any()
    )


def _pairs(values: Angles) -> Pairs:
    return tuple((float(a), float(b)) for a, b in values)
