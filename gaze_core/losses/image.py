"""Image losses: pure functions of tensors in [0, 1]; 0 for equal images.

Each is the mean of per-image values over the batch, so several processes that share a batch compute the same as one.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def masked_l1(
    image: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    mask: Float[Tensor, "b 1 h w"],
    weights: Float[Tensor, " b"] | None = None,
) -> Float[Tensor, ""]:
    """Mean absolute difference over the pixels of each image's mask, times the image's weight; 0 for an empty mask."""
    difference = ((image - target).abs() * mask).sum(dim=(1, 2, 3))
    each = difference / (image.shape[1] * mask.sum(dim=(1, 2, 3))).clamp_min(1)
    return (each if weights is None else each * weights).mean()


def dissimilarity(
    image: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], mask: Float[Tensor, "b 1 h w"] | None = None
) -> Float[Tensor, ""]:
    """1 - SSIM with an 11 px Gaussian window of standard deviation 1.5 px (Wang et al. 2004), in a mask if given."""
    from torchmetrics.functional.image import structural_similarity_index_measure  # takes seconds

    _, ssim = structural_similarity_index_measure(image, target, data_range=1.0, return_full_image=True)
    return (1 - ssim).mean() if mask is None else masked_l1(1 - ssim, torch.zeros_like(ssim), mask)


def silhouette(
    alpha: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 h w"], observed: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """1 - IoU of soft masks within the observed pixels, mean over the batch."""
    intersection = (alpha * mask * observed).sum(dim=(1, 2, 3))
    union = ((alpha + mask - alpha * mask) * observed).sum(dim=(1, 2, 3))
    return (1 - intersection / union.clamp_min(1e-6)).mean()


def opacity_regulariser(alpha: Float[Tensor, "b 1 h w"], observed: Float[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
    """Mean alpha of the unobserved pixels: regions without supervision should stay transparent."""
    return (alpha * (1 - observed)).mean()
