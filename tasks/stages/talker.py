"""The talker's stages of `gaze_core` as tasks, and subjects and sounds from outside the store."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from gaze_core.artifacts import ArtifactRef, Produced, file_sha256, files_in
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.stages.talker import coarse as coarse_stage
from gaze_core.stages.talker import compare as compare_stage
from gaze_core.stages.talker import evaluate as evaluate_stage
from gaze_core.stages.talker import fine as fine_stage
from gaze_core.stages.talker import prepare as prepare_stage
from gaze_core.stages.talker import render as render_stage
from gaze_core.stages.talker.coarse import TalkerCoarseConfig
from gaze_core.stages.talker.fine import TalkerFineConfig
from gaze_core.stages.talker.prepare import TalkerPrepareConfig
from gaze_core.stages.talker.render import TalkerRenderConfig
from gaze_core.talker.evaluation import TalkerEvaluateConfig
from gaze_core.talker.report import TalkerTolerance
from gaze_core.talker.subject import SUBJECT_FILE
from tasks.stage_task import stage_task
from tasks.store.artifacts import Store
from tasks.store.permitted_paths import require_importable
from tasks.store.recordings import STAGE, VERSION, RecordingConfig


@stage_task("talker_prepare", prepare_stage)
def prepare(recording: ArtifactRef, config: TalkerPrepareConfig, runtime: Runtime) -> ArtifactRef:
    """A talker subject of a video or of a published folder."""
    ...


@stage_task("talker_coarse", coarse_stage)
def coarse(data: ArtifactRef, config: TalkerCoarseConfig, runtime: Runtime) -> ArtifactRef:
    """Trains the canonical head."""
    ...


@stage_task("talker_fine", fine_stage)
def fine(data: ArtifactRef, coarse: ArtifactRef, config: TalkerFineConfig, runtime: Runtime) -> ArtifactRef:
    """Trains how it moves."""
    ...


@stage_task("talker_render", render_stage)
def render(
    data: ArtifactRef, checkpoint: ArtifactRef, config: TalkerRenderConfig, runtime: Runtime,
    sound: ArtifactRef | None = None, gaze: ArtifactRef | None = None, blinks: ArtifactRef | None = None,
) -> ArtifactRef:  # fmt: skip
    """Renders a film with sound."""
    ...


@stage_task("talker_evaluate", evaluate_stage)
def evaluate(
    data: ArtifactRef, checkpoint: ArtifactRef, config: TalkerEvaluateConfig, runtime: Runtime
) -> ArtifactRef:  # fmt: skip
    """Measures a talking head on held-out time."""
    ...


@stage_task("talker_compare", compare_stage)
def compare(candidate: ArtifactRef, baseline: ArtifactRef | None, config: TalkerTolerance) -> ArtifactRef:
    """Compares two evaluations, or a model with the nearest training frame."""
    ...


@task(name="import_talker", persist_result=False, cache_policy=NO_CACHE)
def import_talker(path: Path) -> ArtifactRef:
    """Publishes a prepared subject: the files of its folder.

    Raises:
        BadInput: it is no such folder.
    """
    require_importable(path)
    if not (path / SUBJECT_FILE).is_file():
        raise BadInput(f"{path}: no {SUBJECT_FILE}; expected a folder of gazeworks talker prepare")
    return _published(files_in(path.resolve()))


@task(name="import_talker_file", persist_result=False, cache_policy=NO_CACHE)
def import_file(path: Path) -> ArtifactRef:
    """Publishes a single file, or all files of a published subject's folder below its name.

    Raises:
        BadInput: there is none.
    """
    require_importable(path)
    path = path.resolve()
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder")
    if path.is_file():
        return _published({path.name: path})
    return _published({f"{path.name}/{name}": file for name, file in files_in(path).items()})


def _published(files: dict[str, Path]) -> ArtifactRef:
    config = RecordingConfig(sha256={name: file_sha256(file) for name, file in files.items()})
    produced = Produced(kind="dataset", files=files)
    return Store.from_environment().publish(produced, stage=STAGE, version=VERSION, config=config, parents={})
