"""Stage: trains a face estimator on subject files of many people, rendered or from a published data set."""

from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveInt

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.splits import split_subjects
from gaze_core.data.subjects import SubjectDataset, is_subject_file
from gaze_core.driver.checkpoints import error_deg, estimator_card, save_estimator
from gaze_core.driver.faces import FaceAugmentation, read_faces
from gaze_core.errors import BadInput
from gaze_core.models.estimation.face_estimator import FaceEstimator, FaceEstimatorConfig
from gaze_core.reproducibility import choose_device, seed_everything
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.driver.training import train_estimator
from gaze_core.training.checkpoint import WEIGHTS_FILE
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import FitConfig

NAME, VERSION = "driver_pretrain", 3
_WIDE_AUGMENTATION = FaceAugmentation(
    shift=0.05, scale=0.08, roll_deg=8, brightness=0.4, contrast=0.3, color=0.15, noise=0.03, smallest=0.4,
    mirror=True, background=True,
)  # fmt: skip


class DriverPretrainConfig(Config):
    """Training of a network from random weights."""

    network: FaceEstimatorConfig = FaceEstimatorConfig()
    changes: FaceAugmentation = _WIDE_AUGMENTATION
    validation_fraction: float = Field(0.1, gt=0, lt=0.5)  # of the people
    num_validations: PositiveInt = 10
    fit: FitConfig = FitConfig(
        num_steps=2000, batch_size=32, learning_rate=1e-3, final_learning_rate_ratio=0.02, warmup_steps=50, patience=10
    )
    seed: NonNegativeInt = 0


def run(config: DriverPretrainConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains on the subject files below `inputs["people"]`; training and validation people are disjoint.

    Raises:
        BadInput: no subject file, or too few people.
    """
    files = _files_by_person(inputs["people"])
    people = split_subjects("driver_people", files, (), config.validation_fraction, config.seed)
    parts = {role: [path for name in names for path in files[name]]
             for role, names in (("train", people.train), ("validation", people.validation))}  # fmt: skip
    faces = read_faces([*parts["train"], *parts["validation"]])
    num_train = sum(len(part) for part in faces.datasets[: len(parts["train"])])
    training, validation = range(num_train), range(num_train, faces.num_samples)
    seed_everything("driver pretrain", config.seed)
    model = FaceEstimator(config.network)
    every = max(1, config.fit.steps(num_train) // config.num_validations)
    fit_config = config.fit.model_copy(update={"validate_every_steps": every})
    summary = train_estimator(model, faces, training, validation, config.changes, fit_config, context)
    weights = context.work_dir / WEIGHTS_FILE
    normalization = faces.datasets[0].normalization
    error = error_deg(model.to(choose_device(context.runtime)), faces, validation)
    trained_on = {"train": people.train, "validation": people.validation}
    card = estimator_card(model, NAME, VERSION, config, normalization, trained_on)
    save_estimator(weights, model, card | {"validation_gaze_error_deg": error})
    return Produced(
        kind="checkpoint",
        files={WEIGHTS_FILE: weights, STATS_FILE: context.work_dir / STATS_FILE},
        metrics=summary.metrics() | {"validation_gaze_error_deg": error},
        normalization=normalization,
        subjects={"train": people.train, "validation": people.validation},
    )


def _files_by_person(folder: Path) -> dict[str, list[Path]]:
    """Subject files by person, whatever their file names."""
    files: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if is_subject_file(path)):
        files.setdefault(SubjectDataset(path, required_labels=("gaze",)).subject, []).append(path)
    if not files:
        raise BadInput("no subject file (.h5) to learn from; render some with: gazeworks driver people")
    return files
