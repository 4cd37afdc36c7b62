"""Stage: adapts a trained GazeGaussian to an unseen person, from one image, a few, or a recording.

The first part optimises the person's identity code and the corrections of the images' labels with frozen weights; the
optional second part fine-tunes all weights. The published method (GazeNeRF, GazeGaussian) is the second part only, about
a minute per image on a GPU (Chen et al., RTGaze, table 1), with codes that never receive a gradient.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.data.people import Origin
from gaze_core.data.seen import Seen, stretches
from gaze_core.data.splits import SPLITS_FILE, Splits, read_splits
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.evaluation.metrics import psnr_db
from gaze_core.models.redirection.corrections import CorrectionsConfig, FrameCorrections
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian
from gaze_core.reproducibility import choose_device
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection import code_encoder, gaze_gaussian
from gaze_core.stages.redirection.evaluate import render_rgb
from gaze_core.stages.redirection.gaze_gaussian import GazeGaussianStageConfig, LearningRates
from gaze_core.stages.redirection.losses import GazeGaussianLossWeights, loss_terms
from gaze_core.stages.redirection.official_checkpoint import require_trained_here
from gaze_core.training.checkpoint import WEIGHTS_FILE, save_weights
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import FitConfig, Task, Term, fit

NAME, VERSION = "invert", 3
_MAX_MEASURED = 16
_MIN_SPREAD = 1e-3


class InvertConfig(Config):
    """The number of images of the person, and what is optimised.

    Mode `codes` keeps the weights; `full` also fine-tunes the weights that `weights.frozen` does not name, which is closer
    to the images. The learning rate of `weights` is that of the networks; those of other parameters are relative to it,
    as in training.
    """

    num_images: PositiveInt | None = 1  # None: all training frames, at most `max_images`
    max_images: PositiveInt = 600  # evenly spaced; all are in memory at once
    mode: Literal["codes", "full"] = "full"
    codes: FitConfig = FitConfig(num_steps=30, batch_size=1, learning_rate=3e-2, final_learning_rate_ratio=0.1)
    weights: FitConfig = FitConfig(num_steps=40, batch_size=1, learning_rate=5e-4, final_learning_rate_ratio=0.1)
    learning_rates: LearningRates | None = None  # of `weights`; None: those of the checkpoint's training
    loss_weights: GazeGaussianLossWeights | None = None  # None: those of the checkpoint's training
    code_unit: Literal["one", "spread"] = "one"  # of a step of the code; spread: the people's standard deviations
    corrections: CorrectionsConfig = CorrectionsConfig(learning_rate=0.1)
    identity_prior: NonNegativeFloat = 0.002  # weight of the squared distance from the training people


def run(config: InvertConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Adapts `inputs["checkpoint"]` to the only person of `inputs["data"]`, from evenly spaced training frames.

    The initial code is predicted by `inputs["encoder"]`, if there is one; otherwise it is the mean of the training people.
    Writes a checkpoint of `gaze_gaussian` that renders this person; its metrics are the PSNR of the head on the used
    frames and, if the data has held-out frames, on those, at each stage of the inversion.

    Raises:
        BadInput: the data has several people, images of another size than the checkpoint renders, or fewer than
            `num_images` training frames.
        ContractViolation: the checkpoint was trained on the person.
    """
    model, card = gaze_gaussian.load(inputs["checkpoint"])
    require_trained_here(card, "inversion")
    seen, others, splits = _images(config, inputs["data"], model)
    origin, known = Origin.read(inputs["data"] / splits.file), Seen.of_card(card)
    if known.has_seen(origin.person):
        raise ContractViolation(f"the checkpoint was trained on {origin.person}; expected someone unseen")
    device = choose_device(context.runtime)
    model, seen = model.to(device), seen.to(device)
    encoder = code_encoder.load(inputs["encoder"]).to(device) if inputs.get("encoder") else None
    people = _People(*(torch.tensor(card["people"][name], device=device) for name in ("mean", "std")))
    measure = _Measure(model, seen, others.to(device) if others is not None else None)
    measure("mean", people.mean)
    with torch.no_grad():
        start = people.mean if encoder is None else encoder(seen.rgb_on_white).mean(dim=0)
    measure("start", start)
    started_s = time.monotonic()
    inversion = _Inversion(model, start, people, seen, config, GazeGaussianStageConfig.model_validate(card["config"]))
    identity, metrics = _optimise(inversion, config, context)
    seconds = time.monotonic() - started_s
    measure("inverted", identity)
    adapted = card | {
        "person": identity.cpu().tolist(),
        "enhancements": [*card["enhancements"], ("start", _start(known, seen, splits))],
        "adapted": {"to": splits.subject, "config": config.model_dump(mode="json")},
        "seen": (known | Seen(frames={origin.person: stretches(origin, seen.sample_index.tolist())})).model_dump(),
    }
    model.set_identity(None)
    save_weights(context.work_dir / WEIGHTS_FILE, model, adapted)
    return Produced(
        kind="checkpoint",
        files={name: context.work_dir / name for name in (WEIGHTS_FILE, STATS_FILE)},
        metrics=metrics | measure.values | {"seconds": seconds, "num_images": float(len(seen))},
        subjects={"train": (splits.subject,)},
    )


def _start(known: Seen, seen: GazeBatch, own: Splits) -> str:
    people = {*known.people, *known.frames}
    return f"a checkpoint of {len(people)} people, adapted to {own.subject} by {len(seen)} frames"


def _images(config: InvertConfig, dataset_dir: Path, model: GazeGaussian) -> tuple[GazeBatch, GazeBatch | None, Splits]:
    """The frames to invert and, if some are held out, frames to measure on."""
    splits = read_splits(dataset_dir / SPLITS_FILE)
    if len(splits.subjects) != 1:
        raise BadInput(
            f"{len(splits.subjects)} people in the data; an inversion is of one; give one person's recording"
        )
    (own,) = splits.subjects
    usable = SubjectDataset(dataset_dir / own.file, subset=own.train)
    gaze_gaussian.require_image_px(model, usable)
    wanted = config.num_images or min(len(usable), config.max_images)
    if len(usable) < wanted:
        raise BadInput(f"{own.subject}: {len(usable)} usable training frames, num_images asks for {wanted}")
    seen = usable.batch(evenly_spaced(len(usable), wanted))
    if not own.test:
        return seen, None, own
    held_out = SubjectDataset(dataset_dir / own.file, subset=own.test)
    return seen, held_out.batch(evenly_spaced(len(held_out), _MAX_MEASURED)), own


@dataclass(frozen=True)
class _People:
    """Mean and standard deviation of the training people's identity codes."""

    mean: Float[Tensor, " 80"]
    std: Float[Tensor, " 80"]

    def identity_prior(self, identity: Float[Tensor, " 80"]) -> Float[Tensor, ""]:
        """Mean squared distance from the mean code, in standard deviations, which are at least 0.01."""
        return ((identity - self.mean) / self.std.clamp_min(0.01)).square().mean()


class _Inversion(nn.Module):
    """The model with the optimised identity code and the corrections of each image."""

    def __init__(
        self, model: GazeGaussian, start: Tensor, people: _People, seen: GazeBatch, config: InvertConfig,
        trained: GazeGaussianStageConfig,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model, self.seen, self.config, self.people, self.trained = model, seen, config, people, trained
        self.loss_weights = config.loss_weights or trained.loss_weights
        self.start = start
        self.unit = people.std.clamp_min(_MIN_SPREAD) if config.code_unit == "spread" else start.clone().fill_(1)
        self.change = nn.Parameter(start.clone().zero_())  # of the code, in that unit
        self.corrections = FrameCorrections(seen.subject_index, seen.sample_index)

    @property
    def identity(self) -> Float[Tensor, " 80"]:
        """The person's code."""
        return self.start + self.unit * self.change

    def terms(self, batch: GazeBatch) -> dict[str, Term]:
        """All loss terms of a batch of the images."""
        identity = self.identity
        self.model.set_identity(identity)
        terms = loss_terms(self.model(batch.camera, self.corrections(batch)), batch, self.loss_weights)
        penalties = self.corrections.penalties(self.config.corrections)
        terms |= {name: Term(*row) for name, row in penalties.items()}
        return terms | {"identity": Term(self.people.identity_prior(identity), self.config.identity_prior)}

    def groups(self, fit: FitConfig, weights: bool) -> list[dict[str, object]]:
        """Parameter groups of codes and corrections, and of the weights if they are optimised."""
        rate = self.config.codes.learning_rate
        groups: list[dict[str, object]] = [
            {"params": [self.change], "lr": rate},
            {"params": list(self.corrections.parameters()), "lr": rate * self.config.corrections.learning_rate},
        ]
        if not weights:
            return groups
        rates = self.config.learning_rates or self.trained.learning_rates
        config = self.trained.model_copy(update={"fit": fit, "corrections": None, "learning_rates": rates})
        return groups + gaze_gaussian.parameter_groups(self.model, None, config)


def _optimise(
    inversion: _Inversion, config: InvertConfig, context: StageContext
) -> tuple[Float[Tensor, " 80"], dict[str, float]]:
    """Runs the parts, resuming interrupted ones; returns the identity code and how the last part ended.

    The history of the last part is in the work folder.
    """
    parts = [("codes", config.codes)] + ([("weights", config.weights)] if config.mode == "full" else [])
    seen = inversion.seen
    inversion.train()
    for name, given in parts:
        frozen = ("model.*",) if name == "codes" else given.frozen
        settings = given.model_copy(update={"batch_size": min(given.batch_size, len(seen)), "frozen": frozen})
        task = Task(
            model=inversion,
            parameter_groups=inversion.groups(settings, weights=name == "weights"),
            num_samples=len(seen),
            read_batches=lambda order: (seen[items] for items in order),
            loss_terms=lambda _, batch, step: inversion.terms(batch),
        )
        folder = context.work_dir / name
        summary = fit(task, settings, context.runtime, folder, context.log, context.progress, context.logger)
        shutil.copyfile(folder / STATS_FILE, context.work_dir / STATS_FILE)
    inversion.eval()
    return inversion.identity.detach(), summary.metrics()


class _Measure:
    """Measures the PSNR of the head on the inverted images and on the held-out ones."""

    def __init__(self, model: GazeGaussian, seen: GazeBatch, others: GazeBatch | None) -> None:
        self.model = model
        self.batches = {"seen": seen} | ({} if others is None else {"others": others})
        self.values: dict[str, float] = {}

    def __call__(self, name: str, identity: Tensor) -> None:
        self.model.eval()
        self.model.set_identity(identity)
        for which, batch in self.batches.items():
            rgb = render_rgb(self.model, batch.camera, batch.head)
            self.values[f"{name}_psnr_db_{which}"] = float(psnr_db(rgb, batch.rgb_on_white, batch.head_mask).mean())
