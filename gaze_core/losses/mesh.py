"""Regularisers of a surface and its motion."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def laplacian_smoothness(vertices: Float[Tensor, "n 3"], faces: Int[Tensor, "t 3"]) -> Float[Tensor, ""]:
    """Mean squared distance of a vertex from the mean of its neighbours (uniform Laplacian), in squared length."""
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    sums = torch.zeros_like(vertices).index_add(0, edges[:, 0], vertices[edges[:, 1]])
    counts = torch.bincount(edges[:, 0], minlength=len(vertices)).clamp_min(1)
    return (sums / counts[:, None] - vertices).square().sum(-1).mean()
