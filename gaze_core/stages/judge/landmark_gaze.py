"""Learns gaze from landmarks of rendered people.

It is not part of a flow: the weights are shipped, made by these commands (the first takes an hour on 2 cores):

    python -m gaze_core.synthesis.prior_people near people
    python -m gaze_core.stages.judge.landmark_gaze --training people/training/*.h5 --test people/test/*.h5 \\
        --out gaze_core/preprocess/weights

`docs/decisions/0004-video-labels.md` has the reasons and the results on labelled people.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from safetensors.numpy import save_file
from scipy.optimize import nnls

from gaze_core.assets import resolve
from gaze_core.atomic import replacing
from gaze_core.config import Config
from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.preprocess.landmark_gaze import (
    DOUBTS,
    FEATURES,
    NAME,
    VERSION,
    EyeFeatures,
    LandmarkGaze,
    doubts_of,
    eye_features,
)
from gaze_core.preprocess.posed_face import head_of_images
from gaze_core.stages.judge.rendered_landmarks import RenderedFace, measure_heights, raised, read_people

_MIRROR = np.array([[1.0, -1.0], [1.0, 1.0]])  # (left, right) x (pitch, yaw): as if each were the right eye


class LandmarkGazeConfig(Config):
    """Configuration of the training."""

    copies: PositiveInt = 2
    focal_spread: NonNegativeFloat = 0.25
    min_side_px: PositiveInt = 96
    penalties: tuple[PositiveFloat, ...] = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
    folds: PositiveInt = 8
    seed: NonNegativeInt = 0


@dataclass(frozen=True, eq=False)
class Rows:
    """The usable faces of rendered people."""

    features: list[EyeFeatures]
    gaze_eyes: Float[ndarray, "n 2 2"]  # true `[pitch, yaw]` rad (left, right) in the frame of the estimated head
    people: list[str]
    num_read: int  # faces that were found; those with an invalid gaze are not among the rows

    @property
    def values(self) -> Float[ndarray, "m f"]:
        """Features of one eye after the other, each as if it were the right eye."""
        return np.concatenate([row.values for row in self.features])

    @property
    def gaze(self) -> Float[ndarray, "n 2"]:
        """The true mean of both eyes."""
        return self.gaze_eyes.mean(axis=1)


@dataclass(frozen=True, eq=False)
class RidgeMap:
    """Standardised features to `[pitch, yaw]` of one eye."""

    mean: Float[ndarray, " f"]
    scale: Float[ndarray, " f"]
    weights: Float[ndarray, "f 2"]
    offset: Float[ndarray, "2"]

    def eyes(self, rows: Rows) -> Float[ndarray, "n 2 2"]:
        """`[pitch, yaw]` of (left, right)."""
        out = (rows.values - self.mean) / self.scale @ self.weights + self.offset
        return out.reshape(-1, 2, 2) * _MIRROR


def train(
    training: Sequence[Path], test: Sequence[Path], config: LandmarkGazeConfig, out_dir: Path, command: str = ""
) -> dict[str, Any]:
    """Learns the map, writes `out_dir/landmark_gaze.safetensors` and returns its card.

    Test people take no part in any choice; their errors, and the expected ones, stand in the card.

    Raises:
        BadInput: a split has no file, a person occurs in both, or labels are not exact.
        MissingArtifact: the landmarker is not available.
    """
    landmarker = resolve("face_landmarker")
    head = head_of_images(landmarker)
    splits: dict[str, list[RenderedFace]] = {}
    for name, files in (("training", training), ("test", test)):
        if not files:
            raise BadInput(
                f"no subject file for {name}; expected rendered people: gaze_core.synthesis.prior_people near"
            )
        splits[name] = list(
            read_people(files, landmarker, config.copies, config.focal_spread, config.min_side_px, config.seed)
        )
    both = {face.person for face in splits["training"]} & {face.person for face in splits["test"]}
    if both:
        raise BadInput(f"{', '.join(sorted(both))}: in training and in test; expected different people")
    heights = measure_heights(splits["training"])
    rows, test_rows = (
        rows_of([(face, raised(face.posed, heights, head)) for face in faces]) for faces in splits.values()
    )
    penalty, left_out, scores = choose_penalty(rows, config)
    strength = answered_strength(left_out, rows)
    reader = _reader(fit_ridge(rows, penalty), rows, left_out, strength)
    card: dict[str, Any] = {
        "stage": NAME,
        "stage_version": VERSION,
        "config": config.model_dump(mode="json"),
        "command": command,
        "features": list(FEATURES),
        "training_people": sorted(set(rows.people)),
        "test_people": sorted(set(test_rows.people)),
        "num_faces": {"training": rows.num_read, "test": test_rows.num_read},
        "num_valid": {"training": len(rows.people), "test": len(test_rows.people)},
        "heights": {name: round(value, 4) for name, value in asdict(heights).items()},
        "penalty": penalty,
        "left_out_error_deg": scores,
        "strength": round(strength, 4),
        "doubts_deg": {name: float(np.rad2deg(value)) for name, value in zip(DOUBTS, reader.doubts, strict=True)},
        "test": _errors(reader, test_rows, strength),
    }
    _save(out_dir / f"{NAME}.safetensors", reader, card)
    return card


def rows_of(faces: Sequence[tuple[RenderedFace, Any]]) -> Rows:
    """Features and labels of faces whose landmarks were `raised`; those that cannot be labelled are left out."""
    features, gazes, people = [], [], []
    for face, posed in faces:
        row = eye_features(posed.face, posed.pose, posed.head, posed.intrinsics_px)
        if not row.eyeballs.valid:
            continue
        features.append(row)
        gazes.append(face.gaze_in(posed.pose.rotation))
        people.append(face.person)
    if not features:
        raise BadInput("no rendered face shows two open eyes; expected subject files of rendered people")
    return Rows(features, np.stack(gazes), people, len(faces))


def fit_ridge(rows: Rows, penalty: float, chosen: Bool[ndarray, " n"] | None = None) -> RidgeMap:
    """Ridge regression of standardised features; `penalty` is relative to their variance."""
    keep = np.repeat(np.ones(len(rows.people), bool) if chosen is None else chosen, 2)
    values, target = rows.values[keep], (rows.gaze_eyes * _MIRROR).reshape(-1, 2)[keep]
    mean, scale, offset = values.mean(axis=0), values.std(axis=0), target.mean(axis=0)
    standard = (values - mean) / scale
    covariance = standard.T @ standard / len(standard)
    weights = np.linalg.solve(
        covariance + penalty * np.eye(len(covariance)), standard.T @ (target - offset) / len(standard)
    )
    return RidgeMap(mean, scale, weights, offset)


def choose_penalty(rows: Rows, config: LandmarkGazeConfig) -> tuple[float, Float[ndarray, "n 2 2"], dict[str, float]]:
    """The penalty by the errors on people who were left out, the gaze of their eyes then, and all mean errors (deg).

    The one-standard-error rule (Hastie et al. 2009, sec. 7.10): the largest penalty whose error is less than a standard
    error above the least. Real people differ from rendered ones more than these among each other, and what a small
    penalty gains here are differences of nearly equal features.
    """
    names = sorted(set(rows.people))
    person = np.array([names.index(name) for name in rows.people])
    fold = person % config.folds
    predictions, errors_deg = {}, {}
    for penalty in config.penalties:
        eyes = np.empty_like(rows.gaze_eyes)
        for k in set(fold):
            eyes[fold == k] = fit_ridge(rows, penalty, fold != k).eyes(rows)[fold == k]
        off_deg = _off_deg(eyes.mean(axis=1), rows.gaze)
        predictions[penalty] = eyes
        errors_deg[penalty] = np.array([off_deg[person == k].mean() for k in range(len(names))])
    least = min(errors_deg.values(), key=np.mean)
    limit_deg = least.mean() + least.std(ddof=1) / np.sqrt(len(least))
    chosen = max(penalty for penalty, errors in errors_deg.items() if errors.mean() <= limit_deg)
    means = {f"{penalty:g}": round(float(errors.mean()), 3) for penalty, errors in errors_deg.items()}
    return chosen, predictions[chosen], means


def answered_strength(left_out: Float[ndarray, "n 2 2"], rows: Rows) -> float:
    """How much less the landmark model moves rendered irises than real ones: by this the map is scaled.

    The eyeball model's yaw has the right size on real people (its constants are those of anatomy). On rendered ones it is
    smaller than that of the map, which was fitted to them; on real people both must agree.
    """
    eyeballs = np.stack([row.eyeballs.gaze_head for row in rows.features])
    return float(np.polyfit(left_out.mean(axis=1)[:, 1], eyeballs[:, 1], 1)[0])


def _reader(fitted: RidgeMap, rows: Rows, left_out: Float[ndarray, "n 2 2"], strength: float) -> LandmarkGaze:
    standard = (rows.values - fitted.mean) / fitted.scale
    # Without a floor on the smallest directions, which are noise, they alone would decide what is unlike.
    precision = np.linalg.inv(np.cov(standard.T) + 0.01 * np.eye(standard.shape[1]))
    doubts = np.stack([
        doubts_of(eyes * strength, row.openness, pair, precision)
        for eyes, row, pair in zip(left_out, rows.features, standard.reshape(-1, 2, standard.shape[1]), strict=True)
    ])  # fmt: skip
    limits = np.quantile(doubts, 0.95, axis=0)
    doubts = np.minimum(doubts, limits)
    # Non-negative: no doubt makes a reading more certain. Scaled like the map, whose noise is scaled with it.
    weights, _ = nnls(doubts, np.deg2rad(_off_deg(left_out.mean(axis=1), rows.gaze)) * strength)
    scaled = {"weights": fitted.weights * strength, "offset": fitted.offset * strength}
    return LandmarkGaze(
        mean=fitted.mean, scale=fitted.scale, **scaled, precision=precision, doubts=weights, limits=limits, digest=""
    )


def _errors(reader: LandmarkGaze, rows: Rows, strength: float) -> dict[str, float]:
    """Errors on rendered people, in degrees, of the map as it was fitted to rendered people, without `strength`."""
    readings = [reader.predict(row) for row in rows.features]
    gaze = np.stack([reading.gaze_head for reading in readings]) / strength
    expected = np.rad2deg([reading.sigma_rad for reading in readings]) / strength
    off_deg = _off_deg(gaze, rows.gaze)
    certain = expected <= np.median(expected)
    slopes = [float(np.polyfit(rows.gaze[:, axis], gaze[:, axis], 1)[0]) for axis in (0, 1)]
    pitch_bias, yaw_bias = np.rad2deg((gaze - rows.gaze).mean(axis=0))
    values = {
        "error_deg": off_deg.mean(), "expected_error_deg": expected.mean(),
        "error_certain_half_deg": off_deg[certain].mean(), "error_uncertain_half_deg": off_deg[~certain].mean(),
        "pitch_slope": slopes[0], "pitch_bias_deg": pitch_bias, "yaw_slope": slopes[1], "yaw_bias_deg": yaw_bias,
    }  # fmt: skip
    return {name: round(float(value), 3) for name, value in values.items()}


def _off_deg(gaze: Float[ndarray, "n 2"], true: Float[ndarray, "n 2"]) -> Float[ndarray, " n"]:
    return angular_error_deg(torch.as_tensor(gaze), torch.as_tensor(true)).numpy()


def _save(path: Path, reader: LandmarkGaze, card: dict[str, Any]) -> None:
    tensors = {name: getattr(reader, name).astype(np.float32) for name in _TENSORS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        save_file(tensors, partial, metadata={"card": json.dumps(card, sort_keys=True)})


_TENSORS = ("mean", "scale", "weights", "offset", "precision", "doubts", "limits")


def main(arguments: Sequence[str]) -> None:
    """Trains from the command line and writes the card to standard output."""
    parser = argparse.ArgumentParser(prog="python -m gaze_core.stages.judge.landmark_gaze")
    for split in ("training", "test"):
        parser.add_argument(f"--{split}", nargs="+", type=Path, required=True, metavar="SUBJECT.h5")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    given = parser.parse_args(arguments)
    command = f"{parser.prog} --training {len(given.training)} files --test {len(given.test)} files"
    try:
        card = train(given.training, given.test, LandmarkGazeConfig(), given.out, command)
    except (BadInput, MissingArtifact) as error:
        parser.error(str(error))  # exit code 2
    card = {name: value for name, value in card.items() if not name.endswith("_people")}
    sys.stdout.write(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
