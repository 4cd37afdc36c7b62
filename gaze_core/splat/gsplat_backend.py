"""The CUDA backend: gsplat with our interface. Only this module imports gsplat, and it is imported for CUDA tensors only."""

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
    radii = torch.as_tensor(meta["radii"])[:, 0]
    return Rendering(images[:, :-1], alphas, images[:, -1:], _without_camera_axis(meta["means2d"]), radii)


def _without_camera_axis(means2d: Tensor) -> Tensor:
    """Projected means (b, n, 2) that receive the gradient of gsplat's (b, 1, n, 2), which a slice would not get."""
    sliced = means2d[:, 0].detach()
    if means2d.requires_grad:
        sliced.requires_grad_()

        def store_gradient(gradient: Tensor) -> None:
            sliced.grad = gradient[:, 0] if sliced.grad is None else sliced.grad + gradient[:, 0]

        means2d.register_hook(store_gradient)
    return sliced
