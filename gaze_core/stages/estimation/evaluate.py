"""Stage: measures the temporal model on unseen people, beside everything that it must beat."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveInt

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.errors import ContractViolation
from gaze_core.estimation.calibration import METHODS, calibrated_errors_deg
from gaze_core.estimation.checkpoints import load_temporal, require_unseen_participants
from gaze_core.estimation.features import FeatureIndex
from gaze_core.estimation.label_checks import eye_darkness, prediction_check, pupil_check, screen_check
from gaze_core.estimation.metrics import (
    angle_bins,
    by_subject,
    error_deg,
    jitter_deg,
    mean_by,
)
from gaze_core.estimation.predictors import Predictions, errors_by_position, predict_all
from gaze_core.estimation.recording_schema import FIXATION, KINDS
from gaze_core.estimation.report import (
    MEASURES,
    Calibration,
    EstimationEvaluation,
    Row,
    StoredCheck,
    numbers_of,
)
from gaze_core.estimation.screen import point_of_gaze
from gaze_core.estimation.table import FrameTable
from gaze_core.evaluation.intervals import Bootstrap, estimate
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "estimation_evaluate", 1
EVALUATION_FILE, PREDICTIONS_FILE = "estimation_evaluation.json", "predictions.npz"
_GAZE_BINS = {"below 10°": (0.0, 10.0), "10° to 20°": (10.0, 20.0), "from 20° on": (20.0, 181.0)}
_CHECKED_FRAMES = 400  # of each person, whose eyes are looked at


class EstimationEvaluateConfig(Config):
    """How errors are aggregated, and with how many samples of a person a correction is fitted."""

    bootstrap: Bootstrap = Bootstrap()
    calibration_counts: tuple[PositiveInt, ...] = (1, 5, 9, 20)
    calibration_draws: PositiveInt = 20
    seed: NonNegativeInt = 0


def run(config: EstimationEvaluateConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Measures `inputs["temporal"]` on the test people of `inputs["features"]`, recordings in `inputs["data"]`.

    Raises:
        ContractViolation: the models have seen a test person, or the features are of other recordings.
    """
    index = FeatureIndex.read(inputs["features"])
    head, card = load_temporal(inputs["temporal"], context.runtime)
    train, validation, test = (
        FrameTable.read(inputs["data"], inputs["features"], index, role)  # type: ignore[arg-type]
        for role in ("train", "validation", "test")
    )
    people, names = test.groups("participant")
    require_unseen_participants(card["trained_on"], names)
    if head.config.token_width != index.token_width:
        raise ContractViolation(
            f"the temporal model reads tokens of {head.config.token_width} channels, the features have "
            f"{index.token_width}; compute features with the single-frame model that it stands on"
        )
    found = predict_all(head, train, validation, test, config.seed)
    position, position_single = errors_by_position(head, test)
    evaluation = EstimationEvaluation(
        participants=names,
        num_frames=len(test),
        num_recordings=len(test.recordings),
        rate_hz=index.rate_hz,
        rows={name: _row(gaze, test, found.notes.get(name, ""), config) for name, gaze in found.rows.items()},
        absent=found.absent,
        position_deg=position,
        position_single_deg=position_single,
        calibration=_calibration(config, found, test),
        checks=_checks(config, found, test),
        bootstrap=config.bootstrap,
        frames_digest=_digest(test),
        notes=index.notes,
    )
    path = context.work_dir / EVALUATION_FILE
    path.write_text(evaluation.model_dump_json(indent=1))
    arrays = context.work_dir / PREDICTIONS_FILE
    values = {name.replace(" ", "_"): gaze.astype(np.float32) for name, gaze in found.rows.items()}
    values |= {"owners": test.owners, "frames": test.frames, "truth_rad": test.truth_rad.astype(np.float32)}
    np.savez_compressed(arrays, **values)  # type: ignore[arg-type]
    metrics = {name: value for name, value in numbers_of(evaluation).items() if value is not None}
    return Produced(
        kind="report",
        files={EVALUATION_FILE: path, PREDICTIONS_FILE: arrays},
        metrics=metrics,
        notes=index.notes,
        subjects={"test": names},
    )


def read_estimation(folder: Path) -> EstimationEvaluation:
    """The evaluation that this stage wrote.

    Raises:
        ContractViolation: the folder has none.
    """
    try:
        return EstimationEvaluation.model_validate_json((folder / EVALUATION_FILE).read_text())
    except (OSError, ValueError) as error:
        raise ContractViolation(f"{folder}: no evaluation of a gaze estimator ({error})") from error


def _row(gaze: Float[ndarray, "n 2"], test: FrameTable, note: str, config: EstimationEvaluateConfig) -> Row:
    """All measures of one row."""
    errors = error_deg(gaze, test.truth_rad)
    people, names = test.groups("participant")
    values = _measures(gaze, errors, test)
    measures = {
        name: estimate(by_subject(values[name], people, len(names)), config.bootstrap, "no such frames")
        for name in MEASURES
    }
    groups = {
        what: mean_by(errors, *test.groups(what)) for what in ("participant", "stimulus", "camera")
    } | {
        f"{what} angle": _by_angle(errors, np.asarray(test.labels[f"{what}_rad"], np.float64)) for what in ("gaze", "head")
    }  # fmt: skip
    by_participant = {name: mean_by(values[name], people, names) for name in MEASURES}
    return Row(measures=measures, by_participant=by_participant, groups=groups, note=note)


def _measures(
    gaze: Float[ndarray, "n 2"], errors: Float[ndarray, " n"], test: FrameTable
) -> Mapping[str, Float[ndarray, " n"]]:
    """The value of each measure for each frame; NaN where it has none."""
    found = {"all": errors}
    for name in ("fixation", "saccade", "pursuit"):
        found[name] = np.where(test.kind == KINDS.index(name), errors, np.nan)
    fixating: Bool[ndarray, " n"] = test.kind == FIXATION
    found["jitter"] = jitter_deg(gaze, test.truth_rad, fixating, test.starts)
    found["pog_cm"], found["pog_px"] = np.full(len(test), np.nan), np.full(len(test), np.nan)
    for number, info in enumerate(test.infos()):
        if info.screen is not None:
            own = test.owners == number
            points = point_of_gaze(gaze[own], test.labels["rotation"][own], test.labels["origin_m"][own], info.screen)
            off_m = points - test.labels["pog_m"][own]
            found["pog_cm"][own] = 100 * np.linalg.norm(off_m, axis=1)
            found["pog_px"][own] = np.linalg.norm(off_m * info.screen.px_per_m, axis=1)
    return found


def _by_angle(errors: Float[ndarray, " n"], angle_rad: Float[ndarray, "n 2"]) -> dict[str, float]:
    return {
        name: float(errors[chosen].mean()) for name, chosen in angle_bins(angle_rad, _GAZE_BINS).items() if chosen.any()
    }


def _calibration(config: EstimationEvaluateConfig, found: Predictions, test: FrameTable) -> tuple[Calibration, ...]:
    """Each row that looks at a picture, corrected by a few samples of each person."""
    people, names = test.groups("participant")
    frames = [np.flatnonzero(people == number) for number in range(len(names))]
    rows = []
    for name, gaze in found.rows.items():
        for method in METHODS:
            for count in config.calibration_counts:
                draws = calibrated_errors_deg(method, count, gaze, test.truth_rad, frames, config.calibration_draws)
                error = estimate(
                    [np.array([one.mean()]) for one in draws if len(one)], config.bootstrap, "too few frames"
                )
                worst = max((float(one.max()) for one in draws if len(one)), default=float("nan"))
                if error.value is not None:
                    rows.append(Calibration(row=name, method=method, count=count, error=error, worst_draw_deg=worst))  # type: ignore[arg-type]
    return tuple(rows)


def _checks(config: EstimationEvaluateConfig, found: Predictions, test: FrameTable) -> tuple[StoredCheck, ...]:
    people, names = test.groups("participant")
    own = [np.flatnonzero(people == number) for number in range(len(names))]
    looked = [frames[evenly_spaced(len(frames), min(len(frames), _CHECKED_FRAMES))] for frames in own]
    darkness = [_darkness(test, frames) for frames in looked]
    truth = test.truth_rad
    labels = [truth[frames] for frames in looked]
    checks = [
        pupil_check(darkness, labels),
        screen_check(_distance_to_point_m(test)),
        prediction_check([found.rows["temporal"][f] for f in own], [truth[f] for f in own], config.bootstrap),
    ]
    return tuple(checks)


def _darkness(test: FrameTable, rows: ndarray) -> Float[ndarray, "n 2"]:
    """Where the eyes of these frames are dark, less the mean of each recording: crops of cameras lie differently."""
    out = np.zeros((len(rows), 2))
    for number in np.unique(test.owners[rows]):
        places = np.flatnonzero(test.owners[rows] == number)
        frames = test.frames[rows[places]]
        eyes = [test.recordings[number].images(name, frames) for name in ("left_eye", "right_eye")]
        found = eye_darkness(eyes[0], eyes[1])
        out[places] = found - found.mean(axis=0)
    return out


def _distance_to_point_m(test: FrameTable) -> Float[ndarray, " n"]:
    """Between where the gaze labels meet the screen and the labels of the points; NaN without either."""
    out = np.full(len(test), np.nan)
    for number, info in enumerate(test.infos()):
        if info.screen is not None:
            own = test.owners == number
            labels = {name: test.labels[name][own] for name in ("gaze_rad", "rotation", "origin_m", "pog_m")}
            met = point_of_gaze(labels["gaze_rad"], labels["rotation"], labels["origin_m"], info.screen)
            out[own] = np.linalg.norm(met - labels["pog_m"], axis=1)
    return out


def _digest(test: FrameTable) -> str:
    """Digest of the frames and their labels, so that only evaluations on the same ones are compared."""
    digest = hashlib.sha256("/".join(info.name for info in test.infos()).encode())
    for values in (test.owners.astype("<i8"), test.frames.astype("<i8"), test.truth_rad.astype("<f4")):
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]
