"""Stage: makes a canonical head talk: offsets of its Gaussians by sound, lids, brows and gaze.

It starts from a coarse checkpoint or, with a longer recording of the same person, goes on from an earlier fine one.
"""

from pydantic import NonNegativeInt, PositiveInt

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.models.talker.checkpoint import load_talker
from gaze_core.reproducibility import choose_device, seed_everything
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.talker.frames import rare_rows_repeated, training_rows
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

NAME, VERSION = "talker_fine", 1


class TalkerFineConfig(Config):
    """Losses and training; the network is that of the coarse checkpoint. The defaults fit a CPU."""

    # With half the steps, or half the batch, the sound has hardly begun to move the lips when the rates fall.
    num_steps: PositiveInt = 1500
    batch_size: PositiveInt = 4
    accumulate: PositiveInt = 1
    rates: TalkerRates = TalkerRates()
    weights: TalkerLossWeights = TalkerLossWeights()
    repeat_rare: bool = True  # frames of open mouths, blinks and side glances are seen more often
    validation: ValidationConfig = ValidationConfig()
    previews: PreviewConfig = PreviewConfig()
    seed: NonNegativeInt = 0

    @classmethod
    def published(cls) -> "TalkerFineConfig":
        """For a GPU: the published rates, with the batch and the number of steps at which users saw it converge."""
        return cls(
            num_steps=3000, batch_size=8,
            rates=TalkerRates(
                means=1.6e-5, scales=5e-3, rotations=1e-3, opacities=0.05, colors=2.5e-3, planes=1.6e-3, networks=1e-4
            ),
            validation=ValidationConfig(every_steps=500), previews=PreviewConfig(every_steps=500),
        )  # fmt: skip


def run(config: TalkerFineConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains `inputs["coarse"]` on the subject `inputs["data"]`.

    Raises:
        BadInput: hardly any frames with a face, no checkpoint, or one that was trained on other audio features.
        MissingArtifact: the checkpoint is not readable.
    """
    if not inputs.get("coarse"):
        raise BadInput("the fine stage needs a coarse checkpoint, or an earlier fine one; run the coarse stage first")
    subject = TalkerSubject(inputs["data"])
    seed_everything("talker fine", config.seed)
    model, info = load_talker(inputs["coarse"])
    info.require_features(subject)
    rows = training_rows(subject)
    notes: tuple[str, ...] = ()
    if model.stage == "coarse":
        model.bake()
    else:
        notes = (f"goes on from a head trained on {info.training_frames} frames, now with {len(rows)}",)
        context.logger.info("%s", notes[0])
    seen = rare_rows_repeated(subject, rows) if config.repeat_rare else rows
    model.to(choose_device(context.runtime))
    fit_config = optimisation(config.num_steps, config.batch_size, config.seed, config.validation, config.accumulate)
    summary = train_talker(
        model, subject, seen, fit_config, config.rates, config.weights, config.validation, config.previews, context
    )
    numbers = {"head_points": float(model.head.num_points), "training_frames": float(len(rows))}
    return produced(model, subject, rows, summary, context, numbers, notes)
