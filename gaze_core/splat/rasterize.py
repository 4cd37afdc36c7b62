"""`rasterize`: one interface, three backends. The values and gradients are those of gsplat 1.5.3's classic mode."""

import importlib
import importlib.util
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.errors import BadInput
from gaze_core.splat.gaussians import Rendering

Backend = Literal["auto", "gsplat", "numba", "reference"]
MAX_ALPHA = 0.999  # of gsplat 1.5.3; later versions use 0.99, and the gsplat backend's version decides on CUDA


def rasterize(
    means: Float[Tensor, "b n 3"],
    quats_wxyz: Float[Tensor, "b n 4"],
    scales: Float[Tensor, "b n 3"],
    opacities: Float[Tensor, "b n"],
    features: Float[Tensor, "b n c"],
    viewmats: Float[Tensor, "b 4 4"],
    Ks: Float[Tensor, "b 3 3"],
    size_px: tuple[int, int],
    background: Float[Tensor, "b c"] | None = None,
    *,
    near_m: float = 0.01,
    eps2d_px: float = 0.3,
    backend: Backend = "auto",
) -> Rendering:
    """Renders B clouds, each with its own camera. Lengths in metres; `size_px` is (width, height).

    Differentiable in everything but `Ks`. Kerbl et al. 2023 with the numerics of gsplat: pixel centres at +0.5,
    `eps2d_px` added to the image covariance, alpha < 1/255 skipped, a pixel closed at a transmittance of 1e-4.

    Raises:
        BadInput: an input of a wrong shape or with non-finite values, by name, or a backend that this machine cannot run.
    """
    if background is None:
        background = features.new_zeros(features.shape[0], features.shape[-1])
    _require_shapes(
        size_px, means=means, quats_wxyz=quats_wxyz, scales=scales, opacities=opacities, features=features,
        viewmats=viewmats, Ks=Ks, background=background,
    )  # fmt: skip
    _require_finite(
        means=means, quats_wxyz=quats_wxyz, scales=scales, opacities=opacities, features=features,
        viewmats=viewmats, Ks=Ks, background=background,
    )  # fmt: skip
    name = choose_backend(backend, means.device)
    if name == "gsplat":
        from gaze_core.splat import gsplat_backend

        return gsplat_backend.rasterize(
            means, quats_wxyz, scales, opacities, features, viewmats, Ks, size_px, background, near_m, eps2d_px
        )
    module = importlib.import_module(f"gaze_core.splat.{name}_backend")
    projected = module.project(means, quats_wxyz, scales, opacities, viewmats, Ks, size_px, near_m, eps2d_px)
    image, alpha, depth = module.composite(projected, opacities, features, background, size_px, MAX_ALPHA)
    alpha, depth = alpha[:, None], depth[:, None]
    depth_m = depth / alpha.clamp_min(1e-10)
    return Rendering(image.permute(0, 3, 1, 2), alpha, depth_m, projected.means_px, projected.radii_px)


def choose_backend(backend: Backend, device: torch.device) -> Literal["gsplat", "numba", "reference"]:
    """The backend to use for tensors on `device`.

    Raises:
        BadInput: the requested backend cannot run here; the message gives the reason.
    """
    on_cuda = device.type == "cuda"
    if backend == "auto":
        wanted: Literal["gsplat", "numba"] = "gsplat" if on_cuda else "numba"
        return wanted if _installed(wanted) else "reference"
    if backend == "gsplat" and not on_cuda:
        raise BadInput(f"backend 'gsplat' needs tensors on CUDA, found {device}; use 'numba' or 'reference' here")
    if backend == "numba" and device.type != "cpu":
        raise BadInput(f"backend 'numba' needs tensors on the CPU, found {device}; use 'gsplat' or 'reference'")
    if backend in ("gsplat", "numba") and not _installed(backend):
        raise BadInput(f"backend {backend!r} is not installed; run: pip install {backend}")
    if backend == "gsplat" or backend == "numba" or backend == "reference":  # `in` would not narrow
        return backend
    raise BadInput(f"unknown backend {backend!r}; expected auto, gsplat, numba or reference")


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _require_shapes(size_px: tuple[int, int], **tensors: Tensor) -> None:
    if len(size_px) != 2 or min(size_px) < 1:
        raise BadInput(f"rasterize: size_px is {size_px}, expected (width, height) of at least 1 pixel each")
    shape = tensors["features"].shape
    b, n, c = shape if len(shape) == 3 else (*tensors["means"].shape[:2], 1)
    expected = {
        "means": (b, n, 3), "quats_wxyz": (b, n, 4), "scales": (b, n, 3), "opacities": (b, n), "features": (b, n, c),
        "viewmats": (b, 4, 4), "Ks": (b, 3, 3), "background": (b, c),
    }  # fmt: skip
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name]:
            raise BadInput(f"rasterize: {name} has shape {tuple(tensor.shape)}, expected {expected[name]}")


def _require_finite(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        # A sum is finite only if every element is; cheaper than a mask of the tensor's size.
        if not bool(tensor.detach().sum().isfinite()) and not bool(tensor.isfinite().all()):
            count = int((~tensor.isfinite()).sum())
            raise BadInput(f"rasterize: {name} has {count} non-finite of {tensor.numel()} values")
