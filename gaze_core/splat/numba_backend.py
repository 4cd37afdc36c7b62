"""The CPU backend: compiled kernels on our own threads, as one autograd function.

Work is cut into bands of tile rows whose number depends on the image alone, each with its own gradient buffer, summed
in a fixed order: results are the same, bit for bit, whatever the number of threads.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.splat import numba_kernels as kernels
from gaze_core.splat.projection import Projected

_ROWS_PER_BAND = 8  # 64 px: two bands for a 128 px image
_MAX_BANDS = 8  # bounds the memory of the gradient buffers


def composite(
    projected: Projected,
    opacities: Float[Tensor, "b n"],
    values: Float[Tensor, "b n c"],
    size_px: tuple[int, int],
    max_alpha: float,
) -> Float[Tensor, "b h w c"]:
    """Same contract as `reference.composite`, in float32."""
    image: Tensor = _Composite.apply(
        projected.means_px, projected.conics, opacities, values,
        projected.depths_m.detach(), projected.half_sizes_px, projected.visible, size_px, max_alpha,
    )  # fmt: skip
    return image


class _Image:
    """The arrays and tile lists of one batch element."""

    def __init__(self, arrays: list[np.ndarray], depths: np.ndarray, half: np.ndarray, visible: np.ndarray,
                 size_px: tuple[int, int]) -> None:  # fmt: skip
        self.arrays, (self.width, self.height) = arrays, size_px
        self.tiles_x, self.tiles_y = -(-self.width // kernels.TILE), -(-self.height // kernels.TILE)
        ids = np.flatnonzero(visible)
        order = ids[np.argsort(depths[ids], kind="stable")]
        self.starts, self.ids = kernels.bin_gaussians(arrays[0], half, order, self.tiles_x, self.tiles_y)
        self.transmittance = np.ones((self.height, self.width), np.float32)
        self.last = np.zeros((self.height, self.width), np.int64)

    def bands(self) -> list[tuple[int, int]]:
        """Ranges of tile rows, a function of the image's height alone."""
        count = min(_MAX_BANDS, max(1, -(-self.tiles_y // _ROWS_PER_BAND)))
        edges = np.linspace(0, self.tiles_y, count + 1).round().astype(int)
        return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

    def common(self, band: tuple[int, int], max_alpha: float) -> tuple[Any, ...]:
        """The arguments that both passes share."""
        return (*band, self.tiles_x, self.width, self.height, *self.arrays, self.starts, self.ids,
                np.float32(max_alpha))  # fmt: skip


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, means: Tensor, conics: Tensor, opacities: Tensor, values: Tensor,
        depths: Tensor, half: Tensor, visible: Tensor, size_px: tuple[int, int], max_alpha: float,
    ) -> Tensor:  # fmt: skip
        inputs = [_array(t) for t in (means, conics, opacities, values)]
        extra = [depths.numpy(), _array(half), visible.numpy()]
        images = list(
            _parallel(
                lambda b: _Image([a[b] for a in inputs], extra[0][b], extra[1][b], extra[2][b], size_px),
                range(len(values)),
            )
        )
        output = np.zeros((len(values), size_px[1], size_px[0], values.shape[-1]), np.float32)

        def draw(job: tuple[int, tuple[int, int]]) -> None:
            index, band = job
            image = images[index]
            kernels.forward_rows(*image.common(band, max_alpha), output[index], image.transmittance, image.last)

        _run(draw, [(b, band) for b, image in enumerate(images) for band in image.bands()])
        ctx.images, ctx.max_alpha = images, max_alpha
        return torch.from_numpy(output).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_image = _array(grad_outputs[0])
        jobs = [(b, band) for b, image in enumerate(ctx.images) for band in image.bands()]

        def differentiate(job: tuple[int, tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
            index, band = job
            image: _Image = ctx.images[index]
            count, channels = image.arrays[3].shape
            geometry, colors = np.zeros((count, 6), np.float32), np.zeros((count, channels), np.float32)
            kernels.backward_rows(
                *image.common(band, ctx.max_alpha), image.transmittance, image.last, grad_image[index],
                geometry, colors,
            )  # fmt: skip
            return geometry, colors

        partial = list(_parallel(differentiate, jobs))
        geometry, colors = (
            torch.from_numpy(np.stack([sum(p[kind] for (b, _), p in zip(jobs, partial, strict=True) if b == index)
                                       for index in range(len(ctx.images))]))
            for kind in (0, 1)
        )  # fmt: skip
        dtype = grad_outputs[0].dtype
        geometry, colors = geometry.to(dtype), colors.to(dtype)
        return geometry[..., :2], geometry[..., 2:5], geometry[..., 5], colors, None, None, None, None, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(torch.float32).contiguous().numpy()


@cache
def _pool(process_id: int, threads: int) -> ThreadPoolExecutor:
    # Keyed by process: threads do not survive a fork, so a child makes its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="splat")


def _parallel(function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterable[Any]:
    jobs, threads = list(jobs), torch.get_num_threads()
    if threads == 1 or len(jobs) == 1:
        return map(function, jobs)
    return _pool(os.getpid(), threads).map(function, jobs)


def _run(function: Callable[[Any], None], jobs: Iterable[Any]) -> None:
    for _ in _parallel(function, jobs):
        pass
