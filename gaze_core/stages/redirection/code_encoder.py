"""Stage: trains the encoder of identity codes on the people that a redirector was trained on."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.errors import BadInput
from gaze_core.models.redirection.code_encoder import CodeEncoder, CodeEncoderConfig
from gaze_core.reproducibility import seed_everything
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection.training_data import read_training_data, train
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, read_card
from gaze_core.training.loop import FitConfig, Task, Term

NAME, VERSION = "code_encoder", 2
TRAINS = True  # may run in several processes
_MIN_STD = 1e-3  # code entries with a smaller standard deviation between people are ignored


class CodeEncoderStageConfig(Config):
    """Everything that decides the trained encoder."""

    model: CodeEncoderConfig = CodeEncoderConfig()
    fit: FitConfig = FitConfig(
        num_steps=600, batch_size=16, learning_rate=2e-3, final_learning_rate_ratio=0.05, warmup_steps=20
    )


def run(config: CodeEncoderStageConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains on the people of `inputs["data"]`; writes `weights.safetensors` and `stats.jsonl`.

    Raises:
        BadInput: all people have the same identity code, so there is nothing to learn.
    """
    data = read_training_data(inputs["data"], config.fit.batch_size, context.runtime)
    people = data.identity_codes()
    seed_everything("initialise", NAME, config.fit.seed)
    model = CodeEncoder(config.model)
    model.mean.copy_(people.mean(dim=0))
    model.std.copy_(people.std(dim=0, correction=0).nan_to_num(0.0))
    if not bool((model.std > _MIN_STD).any()):
        raise BadInput(
            f"the {len(people)} people of the data have the same identity code; expected several with codes that differ; "
            "invert from the mean instead (no encoder)"
        )
    task = Task(
        model=model,
        parameter_groups=[{"params": list(model.parameters()), "lr": config.fit.learning_rate}],
        num_samples=data.train.num_samples,
        read_batches=data.batches,
        loss_terms=lambda m, batch, step: {"identity": Term(loss(m, batch))},
        validation=data.validation(lambda m, batch: {"identity": loss(m, batch)}),
    )
    return train(task, config.fit, data, data.card(NAME, VERSION, config), context)


def loss(model: nn.Module, batch: GazeBatch) -> Tensor:
    """Smooth L1 error of codes, in standard deviations between people; half of the training images are mirrored."""
    assert isinstance(model, CodeEncoder)
    rgb = batch.rgb_on_white
    if model.training:
        mirrored = torch.rand(len(rgb), 1, 1, 1, device=rgb.device) < 0.5
        rgb = torch.where(mirrored, rgb.flip(-1), rgb)
    varies = model.std > _MIN_STD
    error = (model(rgb) - batch.head.identity_code)[:, varies] / model.std[varies]
    return functional.smooth_l1_loss(error, torch.zeros_like(error))


def load(directory: Path) -> CodeEncoder:
    """The trained encoder, in evaluation mode.

    Raises:
        MissingArtifact: no readable checkpoint.
        ContractViolation: a checkpoint of another stage or stage version.
    """
    path = directory / WEIGHTS_FILE
    card = read_card(path, NAME, VERSION)
    model = CodeEncoder(CodeEncoderStageConfig.model_validate(card["config"]).model)
    model.load_state_dict(load_weights(path))
    return model.eval()
