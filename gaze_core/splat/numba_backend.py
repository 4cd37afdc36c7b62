"""The CPU backend: compiled kernels on our own threads, as two autograd functions, projection and compositing.

An image is divided into bands of tile rows, which depend on its height only. Each band bins and composites its Gaussians
and writes its gradients to separate slots; slots are summed band by band. So results are bit-identical for any number
of threads.
"""

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.splat import numba_binning as binning
from gaze_core.splat import numba_compositing as compositing
from gaze_core.splat import numba_projection as projection
from gaze_core.splat.projection import FRUSTUM_MARGIN, MIN_ALPHA, Projected
from gaze_core.splat.simd import LANES

_ROWS_PER_BAND = 2  # of tiles
_CHUNK = 4096  # Gaussians that one job projects


def project(
    means: Float[Tensor, "b n 3"],
    quats_wxyz: Float[Tensor, "b n 4"],
    scales: Float[Tensor, "b n 3"],
    opacities: Float[Tensor, "b n"],
    viewmats: Float[Tensor, "b 4 4"],
    Ks: Float[Tensor, "b 3 3"],
    size_px: tuple[int, int],
    near_m: float,
    eps2d_px: float,
) -> Projected:
    """Same contract as `projection.project`, in float32."""
    return Projected(
        *_Project.apply(means, quats_wxyz, scales, viewmats, opacities.detach(), Ks, size_px, near_m, eps2d_px)
    )


def composite(
    projected: Projected,
    opacities: Float[Tensor, "b n"],
    features: Float[Tensor, "b n c"],
    background: Float[Tensor, "b c"],
    size_px: tuple[int, int],
    max_alpha: float,
) -> tuple[Float[Tensor, "b h w c"], Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Same contract as `reference_backend.composite`, in float32."""
    image, alpha, depth = _Composite.apply(
        projected.means_px, projected.conics, opacities, projected.depths_m, features, background,
        projected.extents_px, size_px, max_alpha,
    )  # fmt: skip
    return image, alpha, depth


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, means: Tensor, quats: Tensor, scales: Tensor, viewmats: Tensor, opacities: Tensor, Ks: Tensor,
        size_px: tuple[int, int], near_m: float, eps2d_px: float,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        inputs = [_array(t) for t in (means, quats, scales, opacities, viewmats, Ks)]
        batch, num = inputs[3].shape
        outputs = [np.empty((batch, num, *shape), np.float32) for shape in ((2,), (3,), (), (2,))]

        def run(b: int, first: int, last: int) -> None:
            *points, view, K = (a[b] for a in inputs)
            projection.project(
                first, last, *points, view, K, *size_px, near_m, eps2d_px, FRUSTUM_MARGIN, MIN_ALPHA,
                *(o[b] for o in outputs),
            )  # fmt: skip

        _run(run, _chunks(batch, num))
        ctx.arrays, ctx.size_px, ctx.limits = inputs, size_px, (near_m, eps2d_px)
        results = [torch.from_numpy(o).to(means.dtype) for o in outputs]
        ctx.mark_non_differentiable(results[3])
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        means, quats, scales, _, viewmats, Ks = ctx.arrays
        grads = [_array(g) for g in grad_outputs[:3]]
        jobs = _chunks(*means.shape[:2])
        outputs = [np.zeros_like(a) for a in (means, quats, scales)]
        views = {job: np.zeros((3, 4)) for job in jobs}

        def run(b: int, first: int, last: int) -> None:
            projection.project_backward(
                first, last, means[b], quats[b], scales[b], viewmats[b], Ks[b], *ctx.size_px, *ctx.limits,
                FRUSTUM_MARGIN, *(g[b] for g in grads), *(o[b] for o in outputs),
                views[b, first, last],
            )  # fmt: skip

        _run(run, jobs)
        grad_view = np.zeros_like(viewmats)
        for (b, _, _), view in views.items():
            grad_view[b, :3] += view
        dtype = grad_outputs[0].dtype
        return *(torch.from_numpy(o).to(dtype) for o in (*outputs, grad_view)), None, None, None, None, None


@dataclass(frozen=True, eq=False)
class _Band:
    """The values of a band for the backward pass; see `binning.bin_band`."""

    rows: tuple[int, int]
    members: np.ndarray
    geometry: np.ndarray
    starts: np.ndarray
    lists: np.ndarray
    masks: np.ndarray


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, means: Tensor, conics: Tensor, opacities: Tensor, depths: Tensor, features: Tensor,
        background: Tensor, extents: Tensor, size_px: tuple[int, int], max_alpha: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        (width, height), (batch, num, channels) = size_px, features.shape
        geometry = [_array(t) for t in (means, conics, opacities, depths, extents)]
        values, backdrop = _padded(features), _array(background)
        rows = _band_rows(height)
        image = np.empty((batch, height, width, channels), np.float32)
        transmittance, depth = (np.empty((batch, height, width), np.float32) for _ in range(2))
        slot_of = np.empty((batch, len(rows), num), np.int32)
        members: list[Any] = [None] * batch
        bands: dict[tuple[int, int], _Band] = {}
        tiles_x = -(-width // binning.TILE)

        def sort(b: int) -> None:
            order = binning.depth_order(geometry[3][b], geometry[4][b])
            members[b] = binning.members_of_bands(order, geometry[0][b], geometry[4][b], _ROWS_PER_BAND, slot_of[b])

        def composite_band(b: int, index: int) -> None:
            starts, all_members = members[b]
            own = all_members[starts[index] : starts[index + 1]]
            packed, tiles, lists = binning.bin_band(*rows[index], tiles_x, own, *(g[b] for g in geometry))
            band = bands[b, index] = _Band(rows[index], own, packed, tiles, lists, np.zeros(len(lists), np.uint64))
            compositing.forward_band(
                *band.rows, tiles_x, band.geometry, band.starts, band.lists, band.members, values[b], backdrop[b],
                np.float32(max_alpha), image[b], transmittance[b], depth[b], band.masks,
            )  # fmt: skip

        _run(sort, [(b,) for b in range(batch)])
        _run(composite_band, list(itertools.product(range(batch), range(len(rows)))))
        ctx.bands, ctx.values, ctx.backdrop = bands, values, backdrop
        ctx.transmittance, ctx.slot_of = transmittance, slot_of
        ctx.max_alpha, ctx.shape, ctx.tiles_x = max_alpha, features.shape, tiles_x
        images = [torch.from_numpy(a).to(features.dtype) for a in (image, 1 - transmittance, depth)]
        return images[0], images[1], images[2]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grads = [_array(g) for g in grad_outputs]
        (batch, num, channels), num_bands = ctx.shape, ctx.slot_of.shape[1]
        slot_size = compositing.GRADIENTS + _padded_channels(channels)
        sizes = np.array([[len(ctx.bands[b, i].members) for i in range(num_bands)] for b in range(batch)], np.int64)
        starts = np.cumsum(sizes, axis=1) - sizes
        slots = [np.empty(int(total) * slot_size, np.float32) for total in sizes.sum(axis=1)]
        grad_background = np.zeros((batch, num_bands, channels), np.float32)

        def differentiate(b: int, index: int) -> None:
            band, start = ctx.bands[b, index], int(starts[b, index])
            own = slots[b][start * slot_size : (start + len(band.members)) * slot_size]
            own[:] = 0
            compositing.backward_band(
                *band.rows, ctx.tiles_x, band.geometry, band.starts, band.lists, band.members, ctx.values[b],
                ctx.backdrop[b], np.float32(ctx.max_alpha), ctx.transmittance[b], band.masks, *(g[b] for g in grads), own,
                grad_background[b, index],
            )  # fmt: skip

        _run(differentiate, list(itertools.product(range(batch), range(num_bands))))
        total = np.zeros((batch, num, slot_size), np.float32)

        def reduce(b: int, first: int, last: int) -> None:
            compositing.reduce_slots(
                first, last, slots[b], starts[b], ctx.slot_of[b], slot_size, total[b].reshape(-1)
            )  # fmt: skip

        _run(reduce, _chunks(batch, num))
        summed = torch.from_numpy(total).to(grad_outputs[0].dtype)
        means, conics, opacities, depths = summed[..., :2], summed[..., 2:5], summed[..., 5], summed[..., 6]
        colors = summed[..., compositing.GRADIENTS : compositing.GRADIENTS + channels]
        backdrop = torch.from_numpy(grad_background.sum(axis=1)).to(summed.dtype)
        return means, conics, opacities, depths, colors, backdrop, None, None, None


def _band_rows(height_px: int) -> list[tuple[int, int]]:
    tiles = -(-height_px // binning.TILE)
    return [(row, min(row + _ROWS_PER_BAND, tiles)) for row in range(0, tiles, _ROWS_PER_BAND)]


def _chunks(batch: int, num: int) -> list[tuple[int, int, int]]:
    return [(b, first, min(first + _CHUNK, num)) for b in range(batch) for first in range(0, num, _CHUNK)]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(torch.float32).contiguous().numpy()


def _padded_channels(channels: int) -> int:
    return -(-channels // LANES) * LANES


def _padded(features: Tensor) -> np.ndarray:
    """Flat features of each batch element, channels padded to whole vectors."""
    missing = _padded_channels(features.shape[-1]) - features.shape[-1]
    return _array(torch.nn.functional.pad(features, (0, missing)) if missing else features).reshape(len(features), -1)


@cache
def _pool(process_id: int) -> ThreadPoolExecutor:
    # Keyed by process: threads do not survive a fork, so a child makes its own.
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="splat")


def _run(function: Callable[..., None], jobs: Sequence[tuple[int, ...]]) -> None:
    """Runs the jobs on `torch.get_num_threads()` threads, including this one; each takes the next job."""
    next_job = itertools.count()  # next() is atomic

    def work() -> None:
        while (index := next(next_job)) < len(jobs):
            function(*jobs[index])

    helpers = [_pool(os.getpid()).submit(work) for _ in range(min(torch.get_num_threads(), len(jobs)) - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():  # a helper that has not started has nothing left to do
            helper.result()
