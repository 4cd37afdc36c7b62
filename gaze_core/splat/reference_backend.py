"""The reference backend: a plain torch rasteriser, tiled, float32 or float64, any device. Slow and readable."""

import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.splat.projection import MIN_ALPHA, MIN_TRANSMITTANCE, Projected, project

__all__ = ["composite", "project"]

TILE_PX = 8
_LANES_PER_CHUNK = 500_000  # pixel-Gaussian pairs at once: more would not fit into the caches


def composite(
    projected: Projected,
    opacities: Float[Tensor, "b n"],
    features: Float[Tensor, "b n c"],
    background: Float[Tensor, "b c"],
    size_px: tuple[int, int],
    max_alpha: float,
) -> tuple[Float[Tensor, "b h w c"], Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Features over the background, alpha, and the weighted sum of depths; differentiable by autograd."""
    # Depth and a constant 1 are composited like features.
    values = torch.cat([features, projected.depths_m[..., None], torch.ones_like(opacities)[..., None]], dim=-1)
    if values.shape[1] == 0:
        sums = values.sum() + values.new_zeros(len(values), size_px[1], size_px[0], values.shape[2])
    else:
        images = [
            _composite_image(projected.squeezed(b), opacities[b], values[b], size_px, max_alpha)
            for b in range(len(values))
        ]
        sums = torch.stack(images)
    alpha = sums[..., -1:]
    return sums[..., :-2] + (1 - alpha) * background[:, None, None], alpha[..., 0], sums[..., -2]


def _composite_image(
    projected: Projected, opacities: Tensor, values: Tensor, size_px: tuple[int, int], max_alpha: float
) -> Float[Tensor, "h w c"]:
    width, height = size_px
    tiles_x, tiles_y = -(-width // TILE_PX), -(-height // TILE_PX)
    lists, counts = _tile_lists(projected, tiles_x, tiles_y)
    blocks: list[Tensor] = []
    order = torch.argsort(counts, stable=True)  # tiles with lists of similar length share a chunk
    for chunk in _chunks(counts[order]):
        tiles = order[chunk]
        ids = lists[tiles, : max(1, int(counts[tiles].max()))]
        blocks.append(_composite_tiles(projected, opacities, values, ids, tiles, tiles_x, max_alpha))
    composed = torch.cat(blocks)[torch.argsort(order)]  # (tiles, 64, c)
    grid = composed.unflatten(0, (tiles_y, tiles_x)).unflatten(2, (TILE_PX, TILE_PX))
    return grid.permute(0, 2, 1, 3, 4).flatten(0, 1).flatten(1, 2)[:height, :width]


def _tile_lists(projected: Projected, tiles_x: int, tiles_y: int) -> tuple[Tensor, Tensor]:
    """For each tile its Gaussians front to back, padded with -1, and how many there are."""
    ids = torch.nonzero(projected.extents_px[:, 0])[:, 0]
    # gsplat sorts by float32 depth; equal depths keep the order of their indices.
    ids = ids[torch.argsort(projected.depths_m.detach()[ids].float(), stable=True)]
    means, half = projected.means_px.detach()[ids], projected.extents_px[ids]
    limit = torch.tensor([tiles_x, tiles_y], device=means.device)
    low = torch.floor((means - half) / TILE_PX).clamp(min=0).long()
    spans = (torch.minimum(torch.ceil((means + half) / TILE_PX).long(), limit) - low).clamp(min=0)
    sizes = spans.prod(dim=-1)
    owner = torch.repeat_interleave(torch.arange(len(ids), device=ids.device), sizes)
    within = torch.arange(len(owner), device=ids.device) - (torch.cumsum(sizes, 0) - sizes)[owner]
    width = spans[owner, 0]
    tile = (low[owner, 1] + within // width) * tiles_x + low[owner, 0] + within % width
    tile, order = torch.sort(tile, stable=True)  # stable: within a tile the order stays front to back
    counts = torch.bincount(tile, minlength=tiles_x * tiles_y)
    lists = torch.full((len(counts), max(1, int(counts.max()))), -1, dtype=torch.long, device=means.device)
    position = torch.arange(len(tile), device=ids.device) - (torch.cumsum(counts, 0) - counts)[tile]
    lists[tile, position] = ids[owner[order]]
    return lists, counts


def _chunks(sorted_counts: Tensor) -> list[slice]:
    counts, chunks, start = sorted_counts.tolist(), [], 0
    for end in range(1, len(counts) + 1):
        full = end == len(counts) or (end - start + 1) * counts[end] * TILE_PX**2 > _LANES_PER_CHUNK
        if full:
            chunks.append(slice(start, end))
            start = end
    return chunks


def _composite_tiles(
    projected: Projected, opacities: Tensor, values: Tensor, ids: Tensor, tiles: Tensor, tiles_x: int, max_alpha: float
) -> Float[Tensor, "t p c"]:
    """Composites tiles whose lists have the same length."""
    real, ids = ids >= 0, ids.clamp(min=0)
    offsets = torch.arange(TILE_PX, device=ids.device) + 0.5
    pixel_y, pixel_x = torch.meshgrid(offsets, offsets, indexing="ij")
    x = (tiles % tiles_x * TILE_PX)[:, None] + pixel_x.flatten()  # (t, p)
    y = (tiles // tiles_x * TILE_PX)[:, None] + pixel_y.flatten()
    mean, conic = projected.means_px[ids], projected.conics[ids]  # (t, k, .)
    dx, dy = x[:, :, None] - mean[:, None, :, 0], y[:, :, None] - mean[:, None, :, 1]  # (t, p, k)
    a, b, c = (conic[:, None, :, i] for i in range(3))
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (opacities[ids][:, None] * torch.exp(-sigma)).clamp(max=max_alpha)
    kept = real[:, None] & (sigma >= 0) & (alpha >= MIN_ALPHA)
    alpha = torch.where(kept, alpha, torch.zeros_like(alpha))
    through = torch.cumprod(1 - alpha, dim=-1)
    # A Gaussian that would lower the transmittance below the limit closes the pixel and is left out itself.
    open_ = through > MIN_TRANSMITTANCE
    before = torch.cat([torch.ones_like(through[..., :1]), through[..., :-1]], dim=-1)
    weights = torch.where(open_, alpha * before, torch.zeros_like(alpha))  # (t, p, k)
    return torch.einsum("tpk,tkc->tpc", weights, values[ids])
