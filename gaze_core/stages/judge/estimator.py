"""Trains the gaze judge on synthetic identities that no redirection model is evaluated on.

It is not part of a flow: the weights are shipped, made by these commands:

    python -m gaze_core.synthesis.prior_people around people
    python -m gaze_core.stages.judge.estimator --training people/training/*.h5 --validation people/test/*290[1-6].h5 \\
        --test people/test/*290[7-9].h5 people/test/*291*.h5 --out weights

`docs/decisions/0006-judge.md` has the reasons and the results.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.config import Config, Runtime
from gaze_core.data.subjects import REQUIRED_LABELS, SubjectDataset
from gaze_core.data.validation import require_valid
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angular_error_deg, vector_from_pitchyaw
from gaze_core.models.estimation.gaze_net import (
    GazeNet,
    GazeNetConfig,
    GazeNetOutput,
)
from gaze_core.reproducibility import seed_everything
from gaze_core.stages.judge.faces import AugmentConfig, Faces, augment, mirrored_half, read_faces
from gaze_core.training.checkpoint import save_weights
from gaze_core.training.loop import FitConfig, OptimizerConfig, Task, Term, fit

NAME, VERSION = "estimator", 2
JUDGE_FILE = "judge.safetensors"
_FINAL_RATE_RATIO = 1e-3


class EstimatorConfig(Config):
    """Configuration of the judge's training."""

    network: GazeNetConfig = GazeNetConfig()
    largest_turn_deg: PositiveFloat = 40.0  # of the face from the camera; eyes that are seen from the side are left out
    augment: AugmentConfig = AugmentConfig()
    num_steps: PositiveInt = 4500
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.02
    head_weight: NonNegativeFloat = 0.5
    points_weight: NonNegativeFloat = 2.0
    eyes_weight: NonNegativeFloat = 8.0  # an error of one eyeball radius weighs about as much as one radian
    seed: NonNegativeInt = 0


def train_judge(
    training: Sequence[Path],
    validation: Sequence[Path],
    test: Sequence[Path],
    config: EstimatorConfig,
    out_dir: Path,
) -> dict[str, Any]:
    """Trains and evaluates a `GazeNet`, writes `out_dir/judge.safetensors` and returns its card.

    Only the subject files of `training` train the weights. Those of `validation` select configurations, those of `test`
    give the final error. The same files, configuration and number of threads give the same weights.

    Raises:
        BadInput: a split has no file, or a subject occurs twice.
    """
    training_sets = _datasets(training, "training", config)
    held_out = {
        "validation": _datasets(validation, "validation", config), "test": _datasets(test, "test", config)
    }  # fmt: skip
    _require_disjoint(training_sets, *held_out.values())
    faces = read_faces(list(training_sets.values()))
    seed_everything("judge", config.seed)
    model = GazeNet(config.network)
    work_dir = out_dir / "work"
    optimise(model, faces, config, Runtime(device="cpu"), work_dir, config.seed)
    card = {
        "stage": NAME,
        "version": VERSION,
        "config": config.model_dump(mode="json"),
        "training_subjects": list(training_sets),
        "num_training_images": len(faces),
        "errors_deg": {
            split: {name: errors_deg(model, read_faces([dataset])) for name, dataset in subjects.items()}
            for split, subjects in held_out.items()
        },
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    save_weights(out_dir / JUDGE_FILE, model, card)
    shutil.rmtree(work_dir)
    return card


def _datasets(files: Sequence[Path], what: str, config: EstimatorConfig) -> dict[str, SubjectDataset]:
    if not files:
        raise BadInput(f"no subject file for {what}; expected one or more; synthesize some")
    for path in files:
        require_valid(path)
    datasets = (_seen_from_the_front(path, config.largest_turn_deg) for path in sorted(files))
    return {dataset.subject: dataset for dataset in datasets}


def _seen_from_the_front(path: Path, largest_turn_deg: float) -> SubjectDataset:
    """The samples whose eyes are open and whose face is turned from the camera by no more than this.

    Raises:
        BadInput: there is none.
    """
    dataset = SubjectDataset(path, required_labels=(*REQUIRED_LABELS, "left_eye", "right_eye"))
    to_camera = dataset.labels["world_to_camera"] @ dataset.labels["head_to_world"]
    turn_deg = np.rad2deg(np.arccos(np.clip(to_camera[:, 2, 2], -1, 1)))
    chosen = dataset.indices[turn_deg <= largest_turn_deg].tolist()
    if not chosen:
        raise BadInput(f"{path}: no open eyes of a face within {largest_turn_deg:g} deg of the camera")
    return SubjectDataset(path, subset=chosen, required_labels=(*REQUIRED_LABELS, "left_eye", "right_eye"))


def _require_disjoint(*splits: Mapping[str, SubjectDataset]) -> None:
    names = [name for split in splits for name in split]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(
            f"{', '.join(twice)}: in two of training, validation and test; expected different people; "
            "give each subject file once"
        )


@torch.no_grad()
def errors_deg(model: GazeNet, faces: Faces) -> dict[str, float]:
    """Mean angle in degrees between labels and predictions, each averaged over an image and its mirror image.

    For `gaze` and `head`, over `images` images; `evaluation/judge.py` predicts in the same way.
    """
    model.eval()
    unmirror = torch.tensor([1.0, -1.0])
    parts = []
    for start in range(0, len(faces), 32):
        rgb = faces[start : start + 32].rgb_on_white
        direct, mirror = model(rgb), model(rgb.flip(-1))
        names = ("gaze_camera", "head_pitchyaw")
        parts.append([(getattr(direct, name) + getattr(mirror, name) * unmirror) / 2 for name in names])
    gaze, head = (torch.cat(predictions) for predictions in zip(*parts, strict=True))
    return {
        "images": len(faces),
        "gaze": float(angular_error_deg(gaze, faces.gaze_camera).mean()),
        "head": float(angular_error_deg(head, faces.head_pitchyaw).mean()),
    }


def optimise(
    model: GazeNet, faces: Faces, config: EstimatorConfig, runtime: Runtime, work_dir: Path, seed: int
) -> None:  # fmt: skip
    """AdamW with a short warm-up and a cosine schedule to nearly zero; resumes an interrupted attempt."""

    def loss_terms(network: nn.Module, batch: Faces, step: int) -> dict[str, Term]:
        rgb, labels = augment(mirrored_half(batch), config.augment)
        return estimator_loss(network(rgb), labels, config)

    task = Task(
        model=model,
        parameter_groups=[{"params": list(model.parameters())}],
        num_samples=len(faces),
        read_batches=lambda order: (faces[items] for items in order),
        loss_terms=loss_terms,
    )
    fit_config = FitConfig(
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        optimizer=OptimizerConfig(name="adamw", weight_decay=config.weight_decay),
        learning_rate=config.learning_rate,
        final_learning_rate_ratio=_FINAL_RATE_RATIO,
        warmup_steps=config.num_steps // 10,
        seed=seed,
    )
    fit(task, fit_config, runtime, work_dir)
    model.cpu().eval()


def estimator_loss(output: GazeNetOutput, batch: Faces, config: EstimatorConfig) -> dict[str, Term]:
    """Errors of gaze and head direction, and of landmarks and eye centres relative to the image's side."""

    def distance(predicted: Tensor, label: Tensor) -> Tensor:  # of unit vectors: nearly the angle in radians
        squared = (vector_from_pitchyaw(predicted) - vector_from_pitchyaw(label)).square().sum(-1)
        return (squared + 1e-6).sqrt().mean()

    def position_error(name: str) -> Tensor:
        return (getattr(output, name) - getattr(batch, name)).abs().mean() / config.network.image_px

    return {
        "gaze_rad": Term(distance(output.gaze_camera, batch.gaze_camera)),
        "head_rad": Term(distance(output.head_pitchyaw, batch.head_pitchyaw), config.head_weight),
        "points_share": Term(position_error("points_px"), config.points_weight),
        "eyes_share": Term(position_error("irises_px") + position_error("eyeballs_px"), config.eyes_weight),
    }


def main(arguments: Sequence[str]) -> None:
    """Trains a judge from the command line and writes its errors to standard output."""
    parser = argparse.ArgumentParser(prog="python -m gaze_core.stages.judge.estimator")
    for split in ("training", "validation", "test"):
        parser.add_argument(f"--{split}", nargs="+", type=Path, required=True, metavar="SUBJECT.h5")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    given = parser.parse_args(arguments)
    card = train_judge(given.training, given.validation, given.test, EstimatorConfig(), given.out)
    sys.stdout.write(json.dumps(card["errors_deg"], indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
