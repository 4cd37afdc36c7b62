"""Inversion: adapts a trained model to an unseen person from one or a few images."""

from pathlib import Path

import torch
from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Config, Runtime
from gaze_core.data.splits import SPLITS_FILE, read_splits
from gaze_core.stages.redirection.code_encoder import CodeEncoderStageConfig
from gaze_core.stages.redirection.invert import InvertConfig
from gaze_core.stages.redirection.official_checkpoint import require_trained_here
from gaze_core.stages.redirection.preprocess import PreprocessConfig
from gaze_core.training.checkpoint import WEIGHTS_FILE, read_card
from tasks.stage_task import tracked_flow
from tasks.stages.redirection import invert, preprocess_recording, train_code_encoder
from tasks.store.artifacts import Store


class InversionPlan(Config):
    """Configurations of preprocessing, of the encoder that gives the initial code, and of the inversion."""

    preprocess: PreprocessConfig = PreprocessConfig(keep_back=False)
    encoder: CodeEncoderStageConfig = CodeEncoderStageConfig()
    invert: InvertConfig = InvertConfig()


class InversionResult(Config):
    """The adapted model, a subject file of the person, and what was measured."""

    model: Path
    person: Path
    numbers: dict[str, float]


@flow(name="inversion", persist_result=False)
def inversion(
    checkpoint: ArtifactRef,
    recording: Path,
    plan: InversionPlan = InversionPlan(),  # noqa: B008 (frozen)
    runtime: Runtime = Runtime(),  # noqa: B008
    force: tuple[str, ...] = (),
) -> InversionResult:
    """Adapts a checkpoint to the person of a recording.

    The encoder that predicts the initial identity code is trained once for the people of a checkpoint; a model of one
    person needs none.
    """
    store = Store.from_environment()
    require_trained_here(read_card(store.fetch(checkpoint) / WEIGHTS_FILE, "gaze_gaussian"), "inversion")
    with tracked_flow({"plan": plan.model_dump(mode="json"), "checkpoint": checkpoint.digest()}, force) as ledger:
        data = preprocess_recording(recording, plan.preprocess, runtime)
        people = _people(store, checkpoint)
        encoder = train_code_encoder(people, plan.encoder, runtime) if people else None
        adapted = invert(checkpoint, encoder, data, plan.invert, runtime)
        numbers = store.manifest(adapted).metrics
        ledger.run.log_summary(numbers)
    folder = store.fetch(data)
    person = folder / read_splits(folder / SPLITS_FILE).subjects[0].file
    return InversionResult(model=store.fetch(adapted), person=person, numbers=numbers)


def _people(store: Store, checkpoint: ArtifactRef) -> ArtifactRef | None:
    """The checkpoint's training data, if it holds people whose identity codes differ."""
    card = read_card(store.fetch(checkpoint) / WEIGHTS_FILE, "gaze_gaussian")
    differ = bool((torch.tensor(card["people"]["std"]) > 0).any())
    return store.manifest(checkpoint).parents.get("data") if differ else None
