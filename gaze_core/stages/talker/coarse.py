"""Stage: the canonical head of a talker: positions and shapes of its Gaussians, opacity and colour from the tri-plane."""

import torch
from pydantic import NonNegativeInt, PositiveInt

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.models.talker.config import PRESETS, TalkerConfig
from gaze_core.models.talker.densify import TalkerDensifyConfig, densify, note_gradients
from gaze_core.models.talker.initialisation import initial_talker
from gaze_core.models.talker.network import TalkerRender
from gaze_core.reproducibility import choose_device, seed_everything
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.talker.anatomy import anatomy_of
from gaze_core.stages.talker.frames import open_eyed, training_rows
from gaze_core.stages.talker.losses import TalkerLossWeights
from gaze_core.stages.talker.training import (
    PreviewConfig,
    TalkerRates,
    ValidationConfig,
    optimisation,
    produced,
    train_talker,
)
from gaze_core.talker.subject import TalkerSubject

NAME, VERSION = "talker_coarse", 1


class TalkerCoarseConfig(Config):
    """Network, losses and training. The defaults fit a CPU; `published()` has the published sizes."""

    network: TalkerConfig = PRESETS["tiny"]
    num_steps: PositiveInt = 300
    batch_size: PositiveInt = 1
    rates: TalkerRates = TalkerRates(means=1e-4, planes=1e-2)
    weights: TalkerLossWeights = TalkerLossWeights()
    densify: TalkerDensifyConfig = TalkerDensifyConfig()
    validation: ValidationConfig = ValidationConfig(every_steps=150)
    previews: PreviewConfig = PreviewConfig(every_steps=150)
    seed: NonNegativeInt = 0

    @classmethod
    def published(cls) -> "TalkerCoarseConfig":
        """Steps and rates of the published coarse stage, for a GPU."""
        return cls(
            network=PRESETS["64_dim_1_transformer"], num_steps=8000,
            rates=TalkerRates(means=1.6e-5, scales=5e-3, rotations=1e-3, planes=1.6e-3, networks=1e-4),
            densify=TalkerDensifyConfig(from_step=1000, every_steps=100, until_step=7000, split_share=0.03, min_opacity=0.005),
            validation=ValidationConfig(every_steps=500), previews=PreviewConfig(every_steps=500),
        )  # fmt: skip


def run(config: TalkerCoarseConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains the canonical head of the subject `inputs["data"]`.

    Raises:
        BadInput: hardly any frames with a face.
    """
    subject = TalkerSubject(inputs["data"])
    rows = open_eyed(subject, training_rows(subject))
    seed_everything("talker coarse", config.seed)
    model = initial_talker(config.network, anatomy_of(subject, rows), subject.audio.shape[2], config.seed)
    if not config.network.is_published:
        model.tokens.encoder.standardise(torch.from_numpy(subject.audio[rows]).float().flatten(0, 1))
    model.to(choose_device(context.runtime))
    counts = {"split": 0, "pruned": 0}

    def after(optimizer: torch.optim.Optimizer, step: int, made: TalkerRender) -> None:
        if not config.densify.every_steps:
            return
        note_gradients(model, made.raster)
        if config.densify.is_due(step):
            split, pruned = densify(model, optimizer, config.densify)
            counts["split"] += split
            counts["pruned"] += pruned

    fit_config = optimisation(config.num_steps, config.batch_size, config.seed, config.validation)
    summary = train_talker(
        model,
        subject,
        rows,
        fit_config,
        config.rates,
        config.weights,
        config.validation,
        config.previews,
        context,
        after,
    )
    context.logger.info(
        "canonical head: %d Gaussians (%d split, %d pruned)", model.head.num_points, counts["split"], counts["pruned"]
    )
    numbers = {"head_points": float(model.head.num_points), "training_frames": float(len(rows))}
    return produced(model, subject, rows, summary, context, numbers)
