"""The driver stages of `gaze_core` as tasks, and estimators from outside the store."""

import tempfile
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from gaze_core.artifacts import ArtifactRef, Produced, file_sha256
from gaze_core.config import Config, Runtime
from gaze_core.driver.checkpoints import load_estimator, save_estimator
from gaze_core.driver.extraction import ExtractConfig
from gaze_core.driver.report import DriverTolerance
from gaze_core.stages.driver import compare as compare_stage
from gaze_core.stages.driver import evaluate as evaluate_stage
from gaze_core.stages.driver import extract as extract_stage
from gaze_core.stages.driver import finetune as finetune_stage
from gaze_core.stages.driver import pretrain as pretrain_stage
from gaze_core.stages.driver.evaluate import DriverEvaluateConfig
from gaze_core.stages.driver.finetune import DriverFinetuneConfig
from gaze_core.stages.driver.pretrain import DriverPretrainConfig
from gaze_core.training.checkpoint import WEIGHTS_FILE
from tasks.stage_task import stage_task
from tasks.store.artifacts import Store


@stage_task("driver_extract", extract_stage)
def extract(
    video: ArtifactRef,
    config: ExtractConfig,
    runtime: Runtime,
    sensors: ArtifactRef | None = None,
    road: ArtifactRef | None = None,
) -> ArtifactRef:
    """Labelled faces and images of a drive."""
    ...


@stage_task("driver_pretrain", pretrain_stage)
def pretrain(people: ArtifactRef, config: DriverPretrainConfig, runtime: Runtime) -> ArtifactRef:
    """Trains a face estimator on many people."""
    ...


@stage_task("driver_finetune", finetune_stage)
def finetune(data: ArtifactRef, base: ArtifactRef, config: DriverFinetuneConfig, runtime: Runtime) -> ArtifactRef:
    """Fine-tunes an estimator on the training blocks of a drive."""
    ...


@stage_task("driver_evaluate", evaluate_stage)
def evaluate(data: ArtifactRef, checkpoint: ArtifactRef, config: DriverEvaluateConfig, runtime: Runtime) -> ArtifactRef:
    """Measures an estimator on the test blocks of a drive."""
    ...


@stage_task("driver_compare", compare_stage)
def compare(after: ArtifactRef, before: ArtifactRef, config: DriverTolerance) -> ArtifactRef:
    """Compares two evaluations on one drive."""
    ...


class WeightsConfig(Config):
    """Identity of an estimator's file: its content, not its path."""

    sha256: str


@task(name="import_estimator", persist_result=False, cache_policy=NO_CACHE)
def import_estimator(path: Path) -> ArtifactRef:
    """Publishes the weights of a file or folder; an earlier gaze tracker's `.pth` is converted.

    Raises:
        BadInput: no such file, unreadable, of another network, or with weights that are not finite.
    """
    model, card = load_estimator(path)
    file = path / WEIGHTS_FILE if path.is_dir() else path
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS_FILE
        save_estimator(weights, model, card)
        subjects = {"train": tuple(card["trained_on"].get("train", ()))}
        produced = Produced(
            "checkpoint", {WEIGHTS_FILE: weights}, normalization=card["normalization"], subjects=subjects
        )
        return Store.from_environment().publish(
            produced, stage="driver_weights", version=1, config=WeightsConfig(sha256=file_sha256(file)), parents={}
        )
