"""The estimation stages of `gaze_core` as tasks, and recordings from outside the store."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from gaze_core.artifacts import ArtifactRef, Produced, file_sha256
from gaze_core.config import Runtime
from gaze_core.estimation.conversion import ConvertConfig, source_files
from gaze_core.estimation.recordings import INDEX_FILE, read_index
from gaze_core.estimation.report import EstimationTolerance
from gaze_core.stages.estimation import compare as compare_stage
from gaze_core.stages.estimation import convert as convert_stage
from gaze_core.stages.estimation import evaluate as evaluate_stage
from gaze_core.stages.estimation import features as features_stage
from gaze_core.stages.estimation import train_single as single_stage
from gaze_core.stages.estimation import train_temporal as temporal_stage
from gaze_core.stages.estimation.evaluate import EstimationEvaluateConfig
from gaze_core.stages.estimation.features import FeaturesConfig
from gaze_core.stages.estimation.train_single import TrainSingleConfig
from gaze_core.stages.estimation.train_temporal import TrainTemporalConfig
from tasks.stage_task import stage_task
from tasks.store.artifacts import Store
from tasks.store.permitted_paths import require_importable
from tasks.store.recordings import STAGE, VERSION, RecordingConfig


@stage_task("estimation_convert", convert_stage)
def convert(recording: ArtifactRef, config: ConvertConfig, runtime: Runtime) -> ArtifactRef:
    """Decodes a folder of EVE into chunked recordings."""
    ...


@stage_task("estimation_single", single_stage)
def train_single(data: ArtifactRef, config: TrainSingleConfig, runtime: Runtime) -> ArtifactRef:
    """Trains the single-frame model."""
    ...


@stage_task("estimation_features", features_stage)
def features(data: ArtifactRef, single: ArtifactRef, config: FeaturesConfig, runtime: Runtime) -> ArtifactRef:
    """Outputs of the single-frame model on all recordings."""
    ...


@stage_task("estimation_temporal", temporal_stage)
def train_temporal(
    data: ArtifactRef, features: ArtifactRef, config: TrainTemporalConfig, runtime: Runtime
) -> ArtifactRef:
    """Trains the temporal head on these outputs."""
    ...


@stage_task("estimation_evaluate", evaluate_stage)
def evaluate(
    data: ArtifactRef, features: ArtifactRef, temporal: ArtifactRef, config: EstimationEvaluateConfig, runtime: Runtime
) -> ArtifactRef:
    """Measures the temporal model on unseen people, beside its baselines."""
    ...


@stage_task("estimation_compare", compare_stage)
def compare(candidate: ArtifactRef, baseline: ArtifactRef | None, config: EstimationTolerance) -> ArtifactRef:
    """Compares two evaluations, or a model with its own baselines."""
    ...


@task(name="import_eve", persist_result=False, cache_policy=NO_CACHE)
def import_eve(path: Path, config: ConvertConfig) -> ArtifactRef:
    """Publishes, of a folder of EVE, the files that its conversion reads.

    Raises:
        BadInput: it is no such folder, or holds no recording of these cameras.
    """
    require_importable(path)
    path = path.resolve()
    files, _ = source_files(path, config)
    return _published({f"{path.name}/{file.relative_to(path).as_posix()}": file for file in files})


@task(name="import_recordings", persist_result=False, cache_policy=NO_CACHE)
def import_recordings(path: Path) -> ArtifactRef:
    """Publishes a folder of converted recordings.

    Raises:
        BadInput: its index is damaged, or names a file that is not there.
    """
    require_importable(path)
    names = [INDEX_FILE, *(entry.file for entry in read_index(path).recordings)]
    return _published({name: path / name for name in names})


def _published(files: dict[str, Path]) -> ArtifactRef:
    config = RecordingConfig(sha256={name: file_sha256(file) for name, file in files.items()})
    produced = Produced(kind="dataset", files=files)
    return Store.from_environment().publish(produced, stage=STAGE, version=VERSION, config=config, parents={})
