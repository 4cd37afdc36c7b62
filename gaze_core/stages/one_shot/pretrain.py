"""Stage: trains a latent redirector on many people, so that there is something to adapt to one."""

from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.models.one_shot.critics import BandCritic, BandCriticConfig, PatchDiscriminator
from gaze_core.models.one_shot.redirector import GazeRedirector, RedirectorConfig
from gaze_core.one_shot.autoencoders import AutoencoderSource, load_autoencoder
from gaze_core.one_shot.checkpoints import CRITIC_FILE, redirector_card, save_critic
from gaze_core.one_shot.objective import (
    ColorChanges,
    Objective,
    OneShotLossWeights,
    PairBatch,
    make_bands,
    pair_tensors,
    vgg_of,
)
from gaze_core.one_shot.samples import Samples, pair_candidates, read_samples
from gaze_core.reproducibility import choose_device, seed_everything
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.one_shot.training import PictureConfig, person_split_of, picture_files, train_redirector
from gaze_core.training.checkpoint import WEIGHTS_FILE, save_weights
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import Adversary, FitConfig, LossTerms, OptimizerConfig, SelectionConfig, Term

NAME, VERSION = "one_shot_pretrain", 1
_BEST_EYES = SelectionConfig(metric="eye_psnr_db", mode="max")


class OneShotPretrainConfig(Config):
    """Network, losses and training. The values are those of the shipped checkpoint; upstream trains 250 000 steps."""

    network: RedirectorConfig = RedirectorConfig()
    autoencoder: AutoencoderSource = AutoencoderSource()
    weights: OneShotLossWeights = OneShotLossWeights()
    vgg_weights: Path | None = Field(None, description="torchvision's VGG-16; without it there is no perceptual loss.")
    critic: BandCriticConfig | None = BandCriticConfig()
    critic_rate: PositiveFloat = 1e-3
    discriminator_rate: PositiveFloat = 5e-6  # as configured upstream
    changes: ColorChanges = ColorChanges()
    validation_share: float = Field(0.1, gt=0, lt=0.5)  # of the people
    most_validation: PositiveInt = 40
    pictures: PictureConfig = PictureConfig()
    fit: FitConfig = FitConfig(
        num_steps=2400, batch_size=8, learning_rate=1.5e-3, final_learning_rate_ratio=0.03, warmup_steps=50,
        validate_every_steps=200, optimizer=OptimizerConfig(name="adamw", betas=(0.9, 0.99), weight_decay=1e-2),
        selection=_BEST_EYES, patience=1000,
    )  # fmt: skip


def run(config: OneShotPretrainConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains on the samples of `inputs["data"]`; validation people are others than training people.

    Raises:
        BadInput: fewer than two samples of somebody, or weights that are not as expected.
    """
    samples = read_samples(inputs["data"])
    training, validation = person_split_of(samples, config.validation_share, config.fit.seed)
    validation = validation[:: max(1, len(validation) // config.most_validation)][: config.most_validation]
    if len(training) < 2:
        raise BadInput(
            f"{len(samples)} samples of {len(samples.names)} people; expected several people with several each"
        )
    autoencoder = load_autoencoder(config.autoencoder)
    seed_everything("one-shot pretrain", config.fit.seed)
    model = GazeRedirector(config.network, autoencoder.channels)
    critic = BandCritic(config.critic) if config.critic else None
    discriminator = PatchDiscriminator() if config.weights.gan else None
    device = choose_device(context.runtime)
    vgg = vgg_of(config.vgg_weights)
    for line in parts_in_words(config, autoencoder.digest):
        context.logger.info("%s", line)
    objective = Objective(
        samples, pair_candidates(samples), autoencoder.to(device), config.weights, config.changes, critic, discriminator,
        None if vgg is None else vgg.to(device),
    )  # fmt: skip
    adversaries = _adversaries(config, model, objective, samples)
    names = [name for name, _ in model.named_parameters()]
    summary = train_redirector(
        model, objective, training, validation, config.fit, names, context, adversaries, config.pictures
    )
    people = {samples.names[int(samples.person[i])] for i in training}
    held = {samples.names[int(samples.person[i])] for i in validation}
    card = redirector_card(
        model, config.autoencoder, autoencoder, NAME, VERSION, config, {"pretraining": sorted(people | held)}
    )
    path = context.work_dir / WEIGHTS_FILE
    save_weights(path, model, card)
    files = {WEIGHTS_FILE: path, STATS_FILE: context.work_dir / STATS_FILE} | picture_files(context)
    metrics = summary.metrics()
    if critic is not None:
        save_critic(context.work_dir / CRITIC_FILE, critic)
        files[CRITIC_FILE] = context.work_dir / CRITIC_FILE
        metrics["critic_error_deg"] = critic_error_deg(critic.to(device).eval(), samples, validation, device)
    return Produced(
        kind="checkpoint", files=files, metrics=metrics,
        subjects={"train": tuple(sorted(people)), "validation": tuple(sorted(held - people))},
    )  # fmt: skip


def parts_in_words(config: OneShotPretrainConfig, digest: str) -> list[str]:
    """What is active and what is not, and why."""
    w = config.weights
    vgg = f"weight {w.vgg:g}" if config.vgg_weights and w.vgg else "off: no weights were given (vgg_weights)"
    gan = f"weight {w.gan:g} from step {w.gan_from_step}" if w.gan else "off: weight 0"
    gaze = f"weight {w.gaze_deg:g} from step {w.gaze_from_step}" if config.critic and w.gaze_deg else "off"
    return [
        f"autoencoder {config.autoencoder.kind}, frozen, {digest}",
        f"losses: L1 {w.l1:g}, L1 in the eyes' mask {w.mask_l1:g}",
        f"perceptual loss: {vgg}",
        f"adversarial loss: {gan}",
        f"gaze critic (not the judge): {gaze}",
    ]


def _adversaries(
    config: OneShotPretrainConfig, model: GazeRedirector, objective: Objective, samples: Samples
) -> tuple[Adversary[PairBatch], ...]:
    """The critic, which learns to read recorded bands, and the discriminator."""
    found: list[Adversary[PairBatch]] = []
    adam = OptimizerConfig(name="adam")

    def critic_terms(critic: nn.Module, batch: PairBatch, step: int) -> LossTerms:
        pairs = objective.draw(batch)
        read = critic(pairs.target, pairs.head)
        return {"read_deg": Term(angular_error_deg(read, pairs.gaze).mean(), 0.05)}

    def discriminator_terms(network: nn.Module, batch: PairBatch, step: int) -> LossTerms:
        pairs = objective.draw(batch)
        with torch.no_grad():
            made = make_bands(model, objective.autoencoder, pairs)
        return {
            "real_hinge": Term(torch.relu(1 - network(pairs.target)).mean()),
            "made_hinge": Term(torch.relu(1 + network(made)).mean()),
        }

    if objective.critic is not None:
        group = {"params": list(objective.critic.parameters()), "lr": config.critic_rate}
        found.append(Adversary("critic", objective.critic, [group], critic_terms, adam))
    if objective.discriminator is not None:
        group = {"params": list(objective.discriminator.parameters()), "lr": config.discriminator_rate}
        found.append(
            Adversary(
                "discriminator",
                objective.discriminator,
                [group],
                discriminator_terms,
                adam,
                config.weights.gan_from_step,
            )
        )
    return tuple(found)


@torch.no_grad()
def critic_error_deg(critic: BandCritic, samples: Samples, positions: list[int], device: torch.device) -> float:
    """The critic's mean error on recorded bands."""
    index = torch.tensor(positions)
    pairs = pair_tensors(samples, index, index, device)
    read: Float[Tensor, "b 2"] = critic(pairs.target, pairs.head)
    return float(angular_error_deg(read, pairs.gaze).mean())
