"""Measures of images and angles. Each function gives one value per sample and states unit, direction and source."""

import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.geometry.angles import angular_error_deg

MAX_PSNR_DB = 100.0
"""PSNR of equal images: infinity can be neither averaged nor stored."""


def psnr_db(
    image: Float[Tensor, "b 3 h w"],
    target: Float[Tensor, "b 3 h w"],
    mask: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB of images in [0, 1], over the mask or all pixels. Higher is better.

    10 log10(1 / MSE) of each image (so a mean over samples is a mean of dB), at most `MAX_PSNR_DB`; NaN for an empty
    mask. Without a mask the same as torchmetrics' `peak_signal_noise_ratio(..., data_range=1)` of each image.
    """
    squared = (image - target) ** 2
    if mask is None:
        mean = squared.flatten(1).mean(dim=1)
    else:
        mean = (squared * mask).flatten(1).sum(dim=1) / (squared.shape[1] * mask.flatten(1).sum(dim=1))
    return -10 * torch.log10(mean.clamp_min(10 ** (-MAX_PSNR_DB / 10)))


def ssim(image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Structural similarity of images in [0, 1], in [-1, 1]. Higher is better; 1 for equal images.

    Wang et al. 2004: Gaussian window of 11 px, standard deviation 1.5 px, all three channels, as torchmetrics has it.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # takes seconds

    values = structural_similarity_index_measure(image, target, data_range=1.0, reduction="none")
    assert isinstance(values, Tensor)
    return values.reshape(len(image))


def gaze_error_deg(gaze: Float[Tensor, "b 2"], expected: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
    """Angle in degrees between two gaze directions, in [0, 180]. Lower is better (Zhang et al. 2015, MPIIGaze)."""
    return angular_error_deg(gaze, expected)


def head_error_deg(facing: Float[Tensor, "b 2"], expected: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
    """Angle in degrees between the directions in which two heads face, blind to roll, in [0, 180]. Lower is better.

    As published for gaze redirection (Zheng et al. 2020, "Self-learning transformations", head redirection error).
    """
    return angular_error_deg(facing, expected)


def constant_prediction(gaze: Float[Tensor, "b 2"]) -> Float[Tensor, "b 2"]:
    """The best prediction without looking at the image: the mean of all labels, for each sample."""
    return gaze.mean(dim=0, keepdim=True).expand_as(gaze)
