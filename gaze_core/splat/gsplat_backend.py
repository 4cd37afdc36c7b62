"""gsplat on CUDA behind our contract. The only importer of gsplat, and only when a CUDA tensor arrives."""

from typing import Any

import torch
from torch import Tensor

from gaze_core.splat.gaussians import Rendering


def rasterize(
    means: Tensor,
    quats_wxyz: Tensor,
    scales: Tensor,
    opacities: Tensor,
    features: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    size_px: tuple[int, int],
    background: Tensor | None,
    near_m: float,
    eps2d_px: float,
) -> Rendering:
    """See `gaze_core.splat.rasterize.rasterize`; batch element b is one scene of gsplat with one camera."""
    import gsplat

    width, height = size_px
    images, alphas, meta = gsplat.rasterization(
        means,
        quats_wxyz,
        scales,
        opacities,
        features[:, None],
        viewmats[:, None],
        Ks[:, None],
        width,
        height,
        near_plane=near_m,
        eps2d=eps2d_px,
        backgrounds=None if background is None else background[:, None],
        render_mode="RGB+ED",
        packed=False,
        channel_chunk=features.shape[-1] + 1,  # one pass, with depth as the last channel
    )
    images, alphas = images[:, 0].permute(0, 3, 1, 2), alphas[:, 0].permute(0, 3, 1, 2)
    return Rendering(images[:, :-1], alphas, images[:, -1:], _per_scene(meta["means2d"]), _per_scene(meta["radii"]))


def _per_scene(value: Any) -> Tensor:
    """Drops gsplat's camera axis."""
    return torch.as_tensor(value)[:, 0]
