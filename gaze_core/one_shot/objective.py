"""What pretraining and adapting optimise: bands made from pairs, against the recorded bands, term by term."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.losses.image import masked_l1
from gaze_core.losses.perceptual import VggDistance
from gaze_core.models.one_shot.critics import BandCritic, PatchDiscriminator
from gaze_core.models.one_shot.redirector import MASKED, GazeRedirector
from gaze_core.one_shot.autoencoders import Autoencoder
from gaze_core.one_shot.samples import Pairs, Samples, band_tensor
from gaze_core.training.loop import LossTerms, Term

_PYRAMID = (1.0, 0.5)  # scales of the perceptual loss; a band is too low for smaller ones


class OneShotLossWeights(Config):
    """Weights of the terms; a term of weight 0 is not computed."""

    l1: NonNegativeFloat = 1.0
    mask_l1: NonNegativeFloat = 2.0  # in the eyes' mask
    vgg: NonNegativeFloat = 0.1  # needs `vgg_weights`
    gan: NonNegativeFloat = 0.0  # 0.01 as configured upstream
    gan_from_step: NonNegativeInt = 1000
    gaze_deg: NonNegativeFloat = 0.002  # by the critic, degrees
    gaze_from_step: NonNegativeInt = 300


class ColorChanges(Config):
    """Random changes of both pictures of a pair alike, so that one light and few skins become many."""

    gain: float = Field(0.15, ge=0, lt=1)
    channel: float = Field(0.12, ge=0, lt=1)
    mirror: bool = True


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Positions of targets among the samples."""

    targets: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.targets.to(device))


@dataclass(frozen=True, eq=False)
class PairTensors:
    """Pairs, ready for the model. Bands in [0, 1], angles in radians."""

    target: Float[Tensor, "b 3 h w"]
    reference: Float[Tensor, "b 3 h w"]
    mask: Float[Tensor, "b 1 h w"]
    reference_mask: Float[Tensor, "b 1 h w"]
    is_same: Bool[Tensor, " b"]  # the reference is the target itself
    gaze: Float[Tensor, "b 2"]
    head: Float[Tensor, "b 2"]

    def changed(self, changes: ColorChanges) -> Self:
        """The same pairs with random colours, and half of them mirrored; from torch's global random numbers."""
        device, count = self.target.device, len(self.target)
        gain = (
            1
            + changes.gain * (2 * torch.rand(count, 1, 1, 1) - 1)
            + changes.channel * (2 * torch.rand(count, 3, 1, 1) - 1)
        )
        flipped = (
            (torch.rand(count) < 0.5).to(device) if changes.mirror else torch.zeros(count, dtype=torch.bool).to(device)
        )
        gain = gain.to(device)

        def mirror(maps: Tensor) -> Tensor:
            return torch.where(flipped[:, None, None, None], maps.flip(-1), maps)

        sign = torch.where(flipped[:, None], maps_sign(device), torch.ones(2, device=device))
        return type(self)(
            (mirror(self.target) * gain).clamp(0, 1), (mirror(self.reference) * gain).clamp(0, 1), mirror(self.mask),
            mirror(self.reference_mask), self.is_same, self.gaze * sign, self.head * sign,
        )  # fmt: skip


def maps_sign(device: torch.device) -> Float[Tensor, "2"]:
    """What mirroring does to `[pitch, yaw]`."""
    return torch.tensor([1.0, -1.0], device=device)


def pair_tensors(
    samples: Samples, targets: Int[Tensor, " b"], references: Int[Tensor, " b"], device: torch.device
) -> PairTensors:
    """The bands, masks and labels of pairs, on a device."""
    t, r = targets.cpu().numpy(), references.cpu().numpy()

    def mask(chosen: Tensor) -> Tensor:
        return torch.from_numpy(samples.mask[chosen.cpu().numpy()])[:, None].float().div(255).to(device)

    def angles(values: object) -> Tensor:
        return torch.as_tensor(values).float().to(device)

    return PairTensors(
        band_tensor(samples.band[t]).to(device), band_tensor(samples.band[r]).to(device), mask(targets), mask(references),
        (targets.cpu() == references.cpu()).to(device), angles(samples.gaze[t]), angles(samples.head[t]),
    )  # fmt: skip


def make_bands(
    model: GazeRedirector, autoencoder: Autoencoder, pairs: PairTensors, gaze: Float[Tensor, "b 2"] | None = None
) -> Float[Tensor, "b 3 h w"]:
    """The bands that the model makes of the targets, looking along their own gaze or along another one; not clamped."""
    with torch.no_grad():
        masked = autoencoder.encode(hidden(pairs.target, pairs.mask))
        # A reference that is the target itself would show what is asked for.
        shown = torch.where(
            pairs.is_same[:, None, None, None], hidden(pairs.reference, pairs.reference_mask), pairs.reference
        )
        reference = autoencoder.encode(shown)
    return autoencoder.decode(model(masked, reference, pairs.gaze if gaze is None else gaze, pairs.head))


def hidden(band: Float[Tensor, "b 3 h w"], mask: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 3 h w"]:
    """The band with its eyes masked."""
    return band * (1 - mask) + MASKED * mask


def eye_psnr_db(
    made: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"], mask: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """PSNR over the pixels of both eyes' masks of each band."""
    squares = ((made.clamp(0, 1) - target).square() * mask).sum(dim=(1, 2, 3))
    return -10 * (squares / (3 * mask.sum(dim=(1, 2, 3))).clamp_min(1)).clamp_min(1e-10).log10()


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a training run on pairs of `samples`."""

    samples: Samples
    pairs: Pairs
    autoencoder: Autoencoder
    weights: OneShotLossWeights
    changes: ColorChanges | None = None
    critic: BandCritic | None = None  # on the model's device
    discriminator: PatchDiscriminator | None = None
    vgg: VggDistance | None = None

    def draw(self, batch: PairBatch) -> PairTensors:
        """Pairs with random references and, in pretraining, random colours."""
        drawn = pair_tensors(self.samples, batch.targets, self.pairs.draw(batch.targets.cpu()), batch.targets.device)
        return drawn if self.changes is None else drawn.changed(self.changes)

    def loss_terms(self, model: nn.Module, batch: PairBatch, step: int) -> LossTerms:
        """The terms of one step."""
        pairs, w = self.draw(batch), self.weights
        made = make_bands(model, self.autoencoder, pairs)  # type: ignore[arg-type]
        terms = {
            "l1": Term((made - pairs.target).abs().mean(), w.l1),
            "mask_l1": Term(masked_l1(made, pairs.target, pairs.mask), w.mask_l1),
        }
        if self.vgg is not None and w.vgg:
            terms["vgg"] = Term(self._perceptual(made, pairs.target), w.vgg)
        if self.critic is not None and w.gaze_deg and step >= w.gaze_from_step:
            read = self.critic(made.clamp(0, 1), pairs.head)
            terms["gaze_deg"] = Term(angular_error_deg(read, pairs.gaze).mean(), w.gaze_deg)
        if self.discriminator is not None and w.gan and step >= w.gan_from_step:
            terms["gan"] = Term(-self.discriminator(made).mean(), w.gan)
        return terms

    def _perceptual(self, made: Tensor, target: Tensor) -> Tensor:
        assert self.vgg is not None
        scaled = [
            [functional.interpolate(one, scale_factor=s, mode="area") if s != 1 else one for one in (made.clamp(0, 1), target)]
            for s in _PYRAMID
        ]  # fmt: skip
        return torch.stack([self.vgg(*pair) for pair in scaled]).mean()

    def measure(self, model: nn.Module, batch: PairBatch) -> Mapping[str, Tensor]:
        """Errors of held-out samples with their best reference."""
        pairs = pair_tensors(self.samples, batch.targets, self.pairs.best(batch.targets.cpu()), batch.targets.device)
        made = make_bands(model, self.autoencoder, pairs)  # type: ignore[arg-type]
        return {
            "eye_psnr_db": eye_psnr_db(made, pairs.target, pairs.mask).mean(),
            "mask_l1": masked_l1(made, pairs.target, pairs.mask),
        }


def vgg_of(weights: Path | None) -> VggDistance | None:
    """The perceptual loss, if its weights are given.

    Raises:
        BadInput: the file does not hold them.
    """
    return None if weights is None else VggDistance(weights)
