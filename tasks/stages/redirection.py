"""Every stage of `gaze_core` as a task: names and parameters only."""

from pathlib import Path

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.evaluation.report import Tolerance
from gaze_core.stages.redirection import code_encoder as code_encoder_stage
from gaze_core.stages.redirection import compare as compare_stage
from gaze_core.stages.redirection import downstream as downstream_stage
from gaze_core.stages.redirection import evaluate as evaluate_stage
from gaze_core.stages.redirection import gaze_gaussian as gaze_gaussian_stage
from gaze_core.stages.redirection import head_prior as head_prior_stage
from gaze_core.stages.redirection import invert as invert_stage
from gaze_core.stages.redirection import look_head as look_head_stage
from gaze_core.stages.redirection import look_paste as look_paste_stage
from gaze_core.stages.redirection import mesh_head as mesh_head_stage
from gaze_core.stages.redirection import preprocess as preprocess_stage
from gaze_core.stages.redirection.code_encoder import CodeEncoderStageConfig
from gaze_core.stages.redirection.downstream import DownstreamConfig
from gaze_core.stages.redirection.evaluate import EvaluateConfig
from gaze_core.stages.redirection.gaze_gaussian import GazeGaussianStageConfig
from gaze_core.stages.redirection.head_prior import HeadPriorConfig
from gaze_core.stages.redirection.invert import InvertConfig
from gaze_core.stages.redirection.look_head import LookHeadConfig
from gaze_core.stages.redirection.look_paste import LookPasteConfig
from gaze_core.stages.redirection.mesh_head import MeshHeadStageConfig
from gaze_core.stages.redirection.preprocess import PreprocessConfig
from tasks.stage_task import stage_task
from tasks.store.artifacts import Store
from tasks.store.recordings import import_recording, naming_users_file


@stage_task("preprocess", preprocess_stage)
def preprocess(
    recording: ArtifactRef, config: PreprocessConfig, runtime: Runtime, test: ArtifactRef | None = None
) -> ArtifactRef:
    """Labels, checks and splits a recording. `test` holds subject files that are used for evaluation only."""
    ...


def preprocess_recording(
    recording: Path, config: PreprocessConfig, runtime: Runtime, test: Path | None = None
) -> ArtifactRef:
    """Imports recordings of this machine and preprocesses them. Errors name the user's own file."""
    imported = import_recording(recording, config.source)
    with naming_users_file(recording, imported):
        if test is None:
            return preprocess(imported, config, runtime)
        others = import_recording(test, "synthetic")
        with naming_users_file(test, others):
            return preprocess(imported, config, runtime, others)


@stage_task("mesh_head", mesh_head_stage)
def train_mesh_head(data: ArtifactRef, config: MeshHeadStageConfig, runtime: Runtime) -> ArtifactRef:
    """Fits a MeshHead to the training frames of `data`."""
    ...


@stage_task("gaze_gaussian", gaze_gaussian_stage)
def train_gaze_gaussian(
    data: ArtifactRef, mesh_head: ArtifactRef, config: GazeGaussianStageConfig, runtime: Runtime
) -> ArtifactRef:
    """Trains GazeGaussian from a MeshHead, with the renderer that `config` names."""
    ...


@stage_task("evaluate", evaluate_stage)
def evaluate(
    data: ArtifactRef,
    checkpoint: ArtifactRef,
    config: EvaluateConfig,
    runtime: Runtime,
    pairs: ArtifactRef | None = None,
) -> ArtifactRef:
    """Measures a trained model on the test frames of `data`, or on listed pairs of its frames."""
    ...


def evaluate_held_out(
    role: str,
    data: ArtifactRef,
    checkpoint: ArtifactRef,
    config: EvaluateConfig,
    runtime: Runtime,
    pairs: ArtifactRef | None = None,
) -> dict[str, ArtifactRef]:
    """The evaluation of the `role` of a report, and a second one on the last block where `data` is a recording with one."""
    refs = {f"{role}_evaluation": evaluate(data, checkpoint, config, runtime, pairs)}
    if pairs is None and Store.from_environment().manifest(data).subjects.get("last_block"):
        last_block = config.model_copy(update={"split": "last_block"})
        refs[f"{role}_last_block"] = evaluate(data, checkpoint, last_block, runtime)
    return refs


@stage_task("code_encoder", code_encoder_stage)
def train_code_encoder(data: ArtifactRef, config: CodeEncoderStageConfig, runtime: Runtime) -> ArtifactRef:
    """Trains the encoder that predicts the identity codes of the people of `data` from images."""
    ...


@stage_task("head_prior", head_prior_stage)
def head_prior(config: HeadPriorConfig, runtime: Runtime) -> ArtifactRef:
    """The head prior that ships with the package, as a checkpoint."""
    ...


@stage_task("invert", invert_stage)
def invert(
    checkpoint: ArtifactRef, encoder: ArtifactRef | None, data: ArtifactRef, config: InvertConfig, runtime: Runtime
) -> ArtifactRef:
    """Adapts a trained model to the person of `data`, starting from the encoder's prediction."""
    ...


@stage_task("downstream", downstream_stage)
def downstream(data: ArtifactRef, checkpoint: ArtifactRef, config: DownstreamConfig, runtime: Runtime) -> ArtifactRef:
    """Trains an estimator on few real images of each subject, with and without redirected ones."""
    ...


@stage_task("compare", compare_stage)
def compare(candidate: ArtifactRef, baseline: ArtifactRef | None, config: Tolerance) -> ArtifactRef:
    """Compares two evaluations; without a baseline, the candidate is compared with the identity copy."""
    ...


@stage_task("look_paste", look_paste_stage)
def look_paste(recording: ArtifactRef, config: LookPasteConfig, runtime: Runtime) -> ArtifactRef:
    """Turns the eyes of a photograph or a video, and nothing else."""
    ...


@stage_task("look_head", look_head_stage)
def look_head(
    recording: ArtifactRef, data: ArtifactRef, checkpoint: ArtifactRef, config: LookHeadConfig, runtime: Runtime
) -> ArtifactRef:
    """Renders the head of a recording at another gaze and pose, with a model that was fitted to it."""
    ...
