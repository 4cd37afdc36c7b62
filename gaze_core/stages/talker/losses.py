"""Loss and validation of the talking head."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.losses.image import dissimilarity, masked_l1
from gaze_core.models.talker.network import TalkerModel, TalkerRender
from gaze_core.stages.talker.frames import TalkerBatch
from gaze_core.training.loop import LossTerms, Term


class TalkerLossWeights(Config):
    """Weights of the terms. The published depth term has no gradient; `silhouette` stands in its place."""

    l1: NonNegativeFloat = 0.8
    dssim: NonNegativeFloat = 0.2
    lips: NonNegativeFloat = 1.0
    eyes: NonNegativeFloat = 1.0
    teeth: NonNegativeFloat = 0.5  # the mouth's interior, between the inner lips
    silhouette: NonNegativeFloat = 0.1


def rendered(model: TalkerModel, batch: TalkerBatch) -> tuple[TalkerRender, Float[Tensor, "b 3 h w"]]:
    """The head, and the whole picture with torso and background behind it."""
    made = model(batch.condition, batch.viewmat, batch.intrinsics_px, batch.size_px)
    return made, made.image + (1 - made.alpha) * batch.behind


def loss_terms(model: TalkerModel, batch: TalkerBatch, weights: TalkerLossWeights) -> tuple[LossTerms, TalkerRender]:
    """The terms, and the rendering that they are of."""
    made, image = rendered(model, batch)
    everywhere = torch.ones_like(batch.head)
    terms = {
        "l1": Term(masked_l1(image, batch.image, everywhere), weights.l1),
        "dssim": Term(dissimilarity(image, batch.image), weights.dssim),
        "lips_l1": Term(masked_l1(image, batch.image, batch.lips), weights.lips),
        "eyes_l1": Term(masked_l1(image, batch.image, batch.eyes), weights.eyes),
        "teeth_l1": Term(masked_l1(image, batch.image, batch.mouth), weights.teeth),
        "silhouette": Term((made.alpha - batch.head).abs().mean(), weights.silhouette),
    }
    return {name: term for name, term in terms.items() if term.weight}, made


def measure(model: nn.Module, batch: TalkerBatch) -> Mapping[str, Tensor]:
    """PSNR within the head, the lips and the eyes of held-out frames, in dB; and of the frame with the recorded torso."""
    assert isinstance(model, TalkerModel)
    image = rendered(model, batch)[1].clamp(0, 1)
    masks = {"head": batch.head, "lips": batch.lips, "eyes": batch.eyes, "frame": torch.ones_like(batch.head)}
    return {f"{name}_psnr_db": masked_psnr_db(image, batch.image, mask).mean() for name, mask in masks.items()}


def masked_psnr_db(
    image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"], mask: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """-10 log10 of the mean squared error within each mask; at most 100 dB."""
    squared = ((image - target).square() * mask).sum(dim=(1, 2, 3)) / (3 * mask.sum(dim=(1, 2, 3))).clamp_min(1)
    return -10 * squared.clamp_min(1e-10).log10()
