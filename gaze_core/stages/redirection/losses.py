"""Losses of GazeGaussian: image and mask terms, and terms of frozen networks (critics)."""

import math
from dataclasses import replace

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch, HeadParameters
from gaze_core.errors import BadInput
from gaze_core.evaluation.renderings import gaze_in_camera
from gaze_core.losses.disentangle import orthogonality
from gaze_core.losses.gaze import GazeCritic, SyntheticGazeConfig, sample_target_gaze
from gaze_core.losses.image import dissimilarity, masked_l1, opacity_regulariser, silhouette
from gaze_core.losses.perceptual import VggDistance
from gaze_core.models.redirection.corrections import CorrectionsConfig, FrameCorrections
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian, GazeGaussianOutput
from gaze_core.models.redirection.renderers import upsample
from gaze_core.splat.gaussians import Rendering
from gaze_core.stages.redirection.critic import CriticConfig, load_critic
from gaze_core.training.loop import SelectionConfig, Term

CRITIC_ERROR = "critic_gaze_error_deg"


class GazeGaussianLossWeights(Config):
    """Weight of each term. `raw` is the enlarged first three raster channels, `final` the renderer's image."""

    raw_l1: NonNegativeFloat = 1.0
    final_l1: NonNegativeFloat = 1.0
    eyes_l1: NonNegativeFloat = 1.0
    dissimilarity: NonNegativeFloat = 0.1
    silhouette: NonNegativeFloat = 0.1
    hidden_matter: NonNegativeFloat = 0.1
    face_in_openings: NonNegativeFloat = 0.1
    eye_centers_dm2: NonNegativeFloat = 10.0
    orthogonality: NonNegativeFloat = 0.01
    perceptual: NonNegativeFloat = 0.0  # needs the asset vgg16
    gaze_deg: NonNegativeFloat = 0.0  # needs a critic
    synthetic_gaze_deg: NonNegativeFloat = 0.0  # needs a critic
    critics_after: float = Field(0.25, ge=0, le=1)  # share of the run; published: epoch 5 of 20

    @property
    def needs_critics(self) -> bool:
        """Whether a loss needs a frozen network."""
        return any((self.perceptual, self.gaze_deg, self.synthetic_gaze_deg))


class Critics:
    """The frozen networks that a run's loss weights need.

    Raises:
        BadInput: a weight needs a critic and none is given, or the given file is not a critic.
        MissingArtifact: the weights of the perceptual network are not available.
    """

    def __init__(
        self,
        weights: GazeGaussianLossWeights,
        critic: CriticConfig | None,
        synthetic_gaze: SyntheticGazeConfig,
        seed: int,
    ) -> None:
        self.weights, self.synthetic_gaze, self.seed = weights, synthetic_gaze, seed
        gaze_losses = [name for name in ("gaze_deg", "synthetic_gaze_deg") if getattr(weights, name)]
        if gaze_losses and critic is None:
            raise BadInput(
                f"loss_weights.{gaze_losses[0]} is {getattr(weights, gaze_losses[0])}, which needs a gaze estimator; expected "
                "weights that gaze_core.stages.judge.estimator has written, given as --set "
                """'gaze_gaussian.critic={"path": "FILE", "sha256": "SUM"}', or the weight 0"""
            )
        self.gaze: GazeCritic | None = load_critic(critic) if gaze_losses and critic else None
        self.perceptual = VggDistance(resolve("vgg16")) if weights.perceptual else None

    def terms(
        self,
        model: GazeGaussian,
        output: GazeGaussianOutput,
        batch: GazeBatch,
        head: HeadParameters,
        step: int,
        progress: float,
    ) -> dict[str, Term]:
        """The terms with their weights; none before `critics_after`. `head` has the corrected parameters of the batch."""
        weights = self.weights
        terms: dict[str, Term] = {}
        if progress < weights.critics_after:
            return terms
        if self.perceptual is not None:
            visible = torch.where(batch.observed_mask > 0, output.rgb, batch.rgb_on_white)
            distance = self.perceptual.to(visible.device)(visible, batch.rgb_on_white)
            terms["perceptual"] = Term(distance, weights.perceptual)
        if self.gaze is not None and weights.gaze_deg:
            error_deg = self.gaze.error_deg(output.rgb, batch.gaze_camera) * batch.valid.gaze * batch.gaze_weight
            terms["gaze_deg"] = Term(error_deg.mean(), weights.gaze_deg)
        if self.gaze is not None and weights.synthetic_gaze_deg:
            target_gaze = sample_target_gaze(
                self.synthetic_gaze, progress, batch.subject_index, batch.sample_index, self.seed, step
            )  # fmt: skip
            # No image shows this gaze, so it gives no information about errors of the frame's labels.
            detached = head.map(Tensor.detach)
            image = model.redirected(batch.camera, detached.with_gaze(target_gaze))
            expected = gaze_in_camera(replace(batch, head=detached), target_gaze)
            error_deg = self.gaze.error_deg(image, expected)
            terms["synthetic_gaze_deg"] = Term(error_deg.mean(), weights.synthetic_gaze_deg)
        return terms

    def validation_metrics(self, model: GazeGaussian, batch: GazeBatch) -> dict[str, Tensor]:
        """The critic's gaze error on redirected validation frames, at fixed target gazes; none without a critic."""
        if self.gaze is None:
            return {}
        target = sample_target_gaze(self.synthetic_gaze, 1.0, batch.subject_index, batch.sample_index, self.seed)
        image = model(batch.camera, batch.head.with_gaze(target)).rgb
        return {CRITIC_ERROR: self.gaze.error_deg(image, gaze_in_camera(batch, target)).mean()}

    def selection(self, given: SelectionConfig, num_steps: int) -> SelectionConfig:
        """The selection for a run of `num_steps`, which starts after the first step on which every term acts.

        Earlier weights would be selected by image error only, and the effect of the critics would be lost.
        """
        if not self.weights.needs_critics:
            return given
        share = self.weights.critics_after
        if self.weights.synthetic_gaze_deg:
            share = max(share, self.synthetic_gaze.full_after)
        metric = given.metric or (CRITIC_ERROR if self.gaze else "")
        first = math.ceil(share * num_steps) + 1  # the weights after that step
        return given.model_copy(update={"metric": metric, "from_step": max(given.from_step, first)})

    def active(self) -> list[tuple[str, str]]:
        """Each loss with its weight, or the reason why it is off."""
        weights, start = self.weights, f"from {self.weights.critics_after:.0%} of the run on"
        unset, no_critic = "off (weight 0)", "off (no gaze critic given)"
        rows = {
            "orthogonality loss": f"weight {weights.orthogonality}" if weights.orthogonality else unset,
            "perceptual loss": f"VGG-16 features, frozen, weight {weights.perceptual}, {start}"
            if self.perceptual
            else "off (trained without; needs the asset vgg16)",
            "gaze loss": f"weight {weights.gaze_deg} a degree, {start}"
            if self.gaze and weights.gaze_deg
            else no_critic,
            "weak supervision by synthetic gaze": (
                f"weight {weights.synthetic_gaze_deg} a degree, up to {self.synthetic_gaze.max_deg:g} degrees, {start}, "
                f"whole range from {self.synthetic_gaze.full_after:.0%} on"
            )
            if self.gaze and weights.synthetic_gaze_deg
            else no_critic,
        }
        return list(rows.items())


class TrainingModule(nn.Module):
    """The model, with the corrections of the training frames and the critics."""

    def __init__(
        self, model: GazeGaussian, critics: Critics, corrections: FrameCorrections | None,
        penalties: CorrectionsConfig | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model, self.corrections, self.penalties, self.critics = model, corrections, penalties, critics

    def loss_terms(self, batch: GazeBatch, step: int, progress: float) -> dict[str, Term]:
        """All terms of one batch; `progress` is the finished share of the whole run."""
        head = batch.head if self.corrections is None else self.corrections(batch)
        output = self.model(batch.camera, head)
        terms = loss_terms(output, batch, self.critics.weights)
        terms |= self.critics.terms(self.model, output, batch, head, step, progress)
        if self.corrections is not None and self.penalties is not None:
            terms |= {name: Term(*row) for name, row in self.corrections.penalties(self.penalties).items()}
        return terms

    def measure(self, batch: GazeBatch) -> dict[str, Tensor]:
        """The metrics of validation frames, which have no corrections."""
        output: GazeGaussianOutput = self.model(batch.camera, batch.head)
        head_l1 = masked_l1(output.rgb, batch.rgb_on_white, batch.head_mask)
        return {"head_l1": head_l1, **self.critics.validation_metrics(self.model, batch)}


def loss_terms(output: GazeGaussianOutput, batch: GazeBatch, weights: GazeGaussianLossWeights) -> dict[str, Term]:
    """The terms with their weights; each name has the unit of its value."""
    assert output.face is not None
    assert output.eyes is not None
    assert output.first_activations is not None
    assert output.eye_centers_m is not None
    target, head_mask, eyes_mask = batch.rgb_on_white, batch.head_mask, batch.eyes_mask
    # Eyes that are drawn for a wrong gaze blur all eyes, so those whose gaze is doubtful count less.
    observed, certainty = batch.observed_mask, batch.gaze_weight
    raw_head, raw_face, raw_eyes = (_upsampled(r, target) for r in (output.head, output.face, output.eyes))
    raw = masked_l1(raw_head[:, :3], target, observed)
    raw = raw + masked_l1(raw_face[:, :3], target, head_mask * (1 - eyes_mask))
    openings = masked_l1(raw_face[:, 3:], torch.zeros_like(eyes_mask), eyes_mask)
    eye_centers_dm2 = 100 * _squared(output.eye_centers_m - batch.eye_centers_head_m)
    return {
        "raw_l1": Term(raw, weights.raw_l1),
        "raw_eyes_l1": Term(masked_l1(raw_eyes[:, :3], target, eyes_mask, certainty), weights.eyes_l1),
        "final_l1": Term(masked_l1(output.rgb, target, observed), weights.final_l1),
        "final_eyes_l1": Term(masked_l1(output.rgb, target, eyes_mask, certainty), weights.eyes_l1),
        "final_dissimilarity": Term(dissimilarity(output.rgb, target, observed), weights.dissimilarity),
        "raw_dissimilarity": Term(dissimilarity(raw_head[:, :3], target, observed), weights.dissimilarity),
        "silhouette": Term(silhouette(raw_head[:, 3:], head_mask, observed), weights.silhouette),
        "hidden_matter": Term(opacity_regulariser(raw_head[:, 3:], observed), weights.hidden_matter),
        "face_in_openings": Term(openings, weights.face_in_openings),
        "eye_centers_dm2": Term(eye_centers_dm2, weights.eye_centers_dm2),
        "orthogonality": Term(orthogonality(*output.first_activations), weights.orthogonality),
    }


def _squared(difference: Tensor) -> Tensor:
    return difference.square().sum(-1).mean()


def _upsampled(rendering: Rendering, like: Tensor) -> Tensor:
    """RGB and alpha of a raster, four channels, upsampled to the size of the target."""
    rgba = torch.cat([rendering.features[:, :3], rendering.alpha], dim=1)
    return upsample(rgba, like.shape[-1] // rgba.shape[-1])
