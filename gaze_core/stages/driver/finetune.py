"""Stage: fine-tunes a face estimator on one drive, with or without its backbone."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.driver.checkpoints import error_deg, estimator_card, frames_seen, load_estimator, save_estimator
from gaze_core.driver.faces import FaceAugmentation, read_faces, require_view
from gaze_core.driver.predictions import read_drive_splits
from gaze_core.driver.record import DriveRecord
from gaze_core.errors import BadInput
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.driver.training import train_estimator
from gaze_core.training.checkpoint import WEIGHTS_FILE
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import FitConfig

NAME, VERSION = "driver_finetune", 2
FinetunePreset = Literal["full", "frozen"]


class DriverFinetuneConfig(Config):
    """What is trained, and how long. A frozen backbone also keeps its batch normalisation statistics."""

    freeze_backbone: bool = False
    epochs: PositiveInt = 30
    batch_size: PositiveInt = 16
    learning_rate: PositiveFloat = 3e-4
    final_learning_rate_ratio: PositiveFloat = 0.05
    changes: FaceAugmentation = FaceAugmentation()
    seed: NonNegativeInt = 0


FINETUNE_PRESETS: dict[FinetunePreset, DriverFinetuneConfig] = {
    "full": DriverFinetuneConfig(),
    "frozen": DriverFinetuneConfig(freeze_backbone=True, epochs=15, learning_rate=1e-3),
}


def run(config: DriverFinetuneConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains `inputs["base"]` on the training blocks of `inputs["data"]`; validation blocks choose the best epoch.

    Raises:
        BadInput: the drive has no labels.
        ContractViolation: the estimator was made for another view of the face.
    """
    record = DriveRecord.read(inputs["data"])
    if not record.labelled:
        raise BadInput(f"{record.name}: has no gaze labels to learn from; extract it with the eye tracker's CSV")
    splits = read_drive_splits(inputs["data"])
    faces = read_faces([inputs["data"] / SUBJECT_FILE])
    model, base = load_estimator(inputs["base"], context.runtime)
    require_view(faces.datasets[0].normalization, base["normalization"], record.name)
    model = model.cpu()
    fit_config = FitConfig(
        num_epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        final_learning_rate_ratio=config.final_learning_rate_ratio,
        frozen=("backbone.*",) if config.freeze_backbone else (),
        warmup_steps=len(splits.train) // config.batch_size // 2,
        validate_every_epoch=True,
        patience=config.epochs,  # all epochs are trained, the best one is kept
        seed=config.seed,
    )
    before = error_deg(model, faces, splits.validation)
    summary = train_estimator(model, faces, splits.train, splits.validation, config.changes, fit_config, context)
    weights = context.work_dir / WEIGHTS_FILE
    trained_on = {"train": [record.name], "base": base["trained_on"].get("train", [])}
    seen = frames_seen(base, record, splits)
    save_estimator(
        weights, model, estimator_card(model, NAME, VERSION, config, base["normalization"], trained_on, seen)
    )
    return Produced(
        kind="checkpoint",
        files={WEIGHTS_FILE: weights, STATS_FILE: context.work_dir / STATS_FILE},
        metrics=summary.metrics() | {"validation_before_deg": before},
        normalization=base["normalization"],
        subjects={"train": (record.name,)},
    )
