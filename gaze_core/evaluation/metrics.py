"""Image metrics of each image of a batch, for images in [0, 1]."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

MAX_PSNR_DB = 100.0


def psnr_db(
    image: Float[Tensor, "b 3 h w"],
    target: Float[Tensor, "b 3 h w"],
    mask: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio, 10 log10(1 / mean squared error), in dB. Higher is better.

    With a mask of 0 and 1 the mean is over its pixels and channels; NaN for an empty mask. Values end at
    `MAX_PSNR_DB`, which equal images get, so that a mean over images stays finite.
    """
    squared = (image - target).square().mean(dim=1, keepdim=True)
    weight = torch.ones_like(squared) if mask is None else mask
    error = (squared * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp_min(10 ** (-MAX_PSNR_DB / 10)))


def ssim(image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Structural similarity, at most 1 (equal images), no unit. Higher is better.

    Gaussian window of 11 px and standard deviation 1.5 px (Wang et al. 2004, sec. III-B), mean over the channels.
    """
    value = structural_similarity_index_measure(
        image, target, gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=1.0, reduction="none"
    )
    assert isinstance(value, Tensor)
    return value.reshape(len(image))
