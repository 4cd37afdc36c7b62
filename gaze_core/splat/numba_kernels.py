"""Compiled compositing of one image, 8 x 8 px tiles. No Python objects inside, no threads of its own, GIL released.

The channel loops and the loop over a tile's 64 pixels are written for the vectoriser: unsigned indices, one scratch
array per kind, and exp() as a polynomial, since a call to the C library is not vectorised.
"""

import math
from typing import Any

import numpy as np
from numba import njit

TILE = 8
PIXELS = TILE * TILE
_FAST = {"reassoc", "contract", "nsz", "arcp"}
_OPTIONS: Any = {"nogil": True, "cache": True, "fastmath": _FAST, "error_model": "numpy"}
MAX_SIGMA = np.float32(math.log(255.0) + 0.01)  # beyond it alpha < 1/255 whatever the opacity
MIN_ALPHA = np.float32(1 / 255)
MIN_TRANSMITTANCE = np.float32(1e-4)


@njit(**_OPTIONS)
def bin_gaussians(means, half_sizes, order, tiles_x, tiles_y):
    """Lists of Gaussians per tile in the given order: where each tile's list starts, and all lists in a row."""
    count = np.zeros(tiles_x * tiles_y + 1, np.int64)
    boxes = np.empty((len(order), 4), np.int32)
    for k in range(len(order)):
        i = order[k]
        boxes[k, 0] = max(0, int(math.floor((means[i, 0] - half_sizes[i, 0]) / TILE)))
        boxes[k, 1] = min(tiles_x, int(math.ceil((means[i, 0] + half_sizes[i, 0]) / TILE)))
        boxes[k, 2] = max(0, int(math.floor((means[i, 1] - half_sizes[i, 1]) / TILE)))
        boxes[k, 3] = min(tiles_y, int(math.ceil((means[i, 1] + half_sizes[i, 1]) / TILE)))
        for ty in range(boxes[k, 2], boxes[k, 3]):
            for tx in range(boxes[k, 0], boxes[k, 1]):
                count[ty * tiles_x + tx + 1] += 1
    starts = np.cumsum(count)
    cursor = starts[:-1].copy()
    ids = np.empty(starts[-1], np.int32)
    for k in range(len(order)):
        for ty in range(boxes[k, 2], boxes[k, 3]):
            for tx in range(boxes[k, 0], boxes[k, 1]):
                tile = ty * tiles_x + tx
                ids[cursor[tile]] = order[k]
                cursor[tile] += 1
    return starts, ids


@njit(inline="always", **_OPTIONS)
def _tile_alphas(mx, my, a, b, c, opacity, x0, y0, max_alpha, alphas):
    """Alpha of one Gaussian at the 64 pixels of the tile whose first pixel centre is (x0, y0); 0 where skipped."""
    for p in range(np.uint64(0), np.uint64(PIXELS)):
        dx = x0 + np.float32(p & np.uint64(TILE - 1)) - mx
        dy = y0 + np.float32(p >> np.uint64(3)) - my
        sigma = np.float32(0.5) * (a * dx * dx + c * dy * dy) + b * dx * dy
        t = min(max(sigma, np.float32(0)), MAX_SIGMA) * np.float32(-1 / 16)
        # exp(-sigma) = (exp(-sigma / 16))^16, Taylor to degree 7 on [-0.35, 0]: relative error below 2e-7.
        e = np.float32(1 / 5040)
        e = e * t + np.float32(1 / 720)
        e = e * t + np.float32(1 / 120)
        e = e * t + np.float32(1 / 24)
        e = e * t + np.float32(1 / 6)
        e = e * t + np.float32(0.5)
        e = e * t + np.float32(1)
        e = e * t + np.float32(1)
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        alpha = min(opacity * e, max_alpha)
        seen = (sigma >= np.float32(0)) & (sigma < MAX_SIGMA) & (alpha >= MIN_ALPHA)
        alphas[p] = alpha if seen else np.float32(0)


@njit(**_OPTIONS)
def forward_rows(
    first_row, last_row, tiles_x, width, height, means, conics, opacities, values, starts, ids, max_alpha,
    image, transmittance, last,
):  # fmt: skip
    """Composites the tile rows [first_row, last_row) into `image`; records what the backward pass needs."""
    channels = np.uint64(values.shape[1])
    alphas, through = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
    is_open = np.empty(PIXELS, np.bool_)
    for ty in range(first_row, last_row):
        for tx in range(tiles_x):
            tile = ty * tiles_x + tx
            num_open = 0
            for p in range(PIXELS):
                through[p] = np.float32(1)
                is_open[p] = (tx * TILE + (p & 7) < width) and (ty * TILE + (p >> 3) < height)
                num_open += is_open[p]
            for k in range(starts[tile], starts[tile + 1]):
                i = ids[k]
                _tile_alphas(
                    means[i, 0], means[i, 1], conics[i, 0], conics[i, 1], conics[i, 2], opacities[i],
                    np.float32(tx * TILE + 0.5), np.float32(ty * TILE + 0.5), max_alpha, alphas,
                )  # fmt: skip
                for p in range(PIXELS):
                    if alphas[p] == np.float32(0) or not is_open[p]:
                        continue
                    remaining = through[p] * (np.float32(1) - alphas[p])
                    if remaining <= MIN_TRANSMITTANCE:
                        is_open[p] = False
                        num_open -= 1
                        continue
                    weight, y, x = alphas[p] * through[p], ty * TILE + (p >> 3), tx * TILE + (p & 7)
                    for c in range(np.uint64(0), channels):
                        image[y, x, c] += weight * values[i, c]
                    through[p] = remaining
                    last[y, x] = k + 1
                if num_open == 0:
                    break
            for p in range(PIXELS):
                y, x = ty * TILE + (p >> 3), tx * TILE + (p & 7)
                if x < width and y < height:
                    transmittance[y, x] = through[p]


@njit(**_OPTIONS)
def backward_rows(
    first_row, last_row, tiles_x, width, height, means, conics, opacities, values, starts, ids, max_alpha,
    transmittance, last, grad_image, grad_geometry, grad_values,
):  # fmt: skip
    """Adds the gradients from tile rows [first_row, last_row).

    `grad_geometry` columns: mean x, y, conic xx, xy, yy, opacity. A tile's list is walked back to front; with the
    colours behind a Gaussian summed up in `behind`, dL/dalpha = T <g, c> - behind / (1 - alpha).
    """
    channels = np.uint64(values.shape[1])
    alphas, through = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
    behind, end = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.int64)
    for ty in range(first_row, last_row):
        for tx in range(tiles_x):
            tile = ty * tiles_x + tx
            furthest = starts[tile]
            for p in range(PIXELS):
                y, x = ty * TILE + (p >> 3), tx * TILE + (p & 7)
                inside = x < width and y < height
                through[p] = transmittance[y, x] if inside else np.float32(1)
                end[p] = last[y, x] if inside else 0
                behind[p] = np.float32(0)
                furthest = max(furthest, end[p])
            x0, y0 = np.float32(tx * TILE + 0.5), np.float32(ty * TILE + 0.5)
            for k in range(furthest - 1, starts[tile] - 1, -1):
                i = ids[k]
                a, b, c_ = conics[i, 0], conics[i, 1], conics[i, 2]
                mx, my, opacity = means[i, 0], means[i, 1], opacities[i]
                _tile_alphas(mx, my, a, b, c_, opacity, x0, y0, max_alpha, alphas)
                g_mx = g_my = g_a = g_b = g_c = g_o = np.float32(0)
                for p in range(PIXELS):
                    alpha = alphas[p]
                    if alpha == np.float32(0) or k >= end[p]:
                        continue
                    y, x = ty * TILE + (p >> 3), tx * TILE + (p & 7)
                    rest = np.float32(1) / (np.float32(1) - alpha)
                    before = through[p] * rest
                    weight = alpha * before
                    dot = np.float32(0)
                    for c in range(np.uint64(0), channels):
                        dot += grad_image[y, x, c] * values[i, c]
                    for c in range(np.uint64(0), channels):
                        grad_values[i, c] += weight * grad_image[y, x, c]
                    g_alpha = before * dot - behind[p] * rest
                    behind[p] += weight * dot
                    through[p] = before
                    if alpha < max_alpha:  # the clamp passes no gradient
                        dx, dy = x0 + np.float32(p & 7) - mx, y0 + np.float32(p >> 3) - my
                        g_o += g_alpha * alpha / opacity
                        g_sigma = -alpha * g_alpha
                        g_a += np.float32(0.5) * g_sigma * dx * dx
                        g_b += g_sigma * dx * dy
                        g_c += np.float32(0.5) * g_sigma * dy * dy
                        g_mx -= g_sigma * (a * dx + b * dy)
                        g_my -= g_sigma * (b * dx + c_ * dy)
                grad_geometry[i, 0] += g_mx
                grad_geometry[i, 1] += g_my
                grad_geometry[i, 2] += g_a
                grad_geometry[i, 3] += g_b
                grad_geometry[i, 4] += g_c
                grad_geometry[i, 5] += g_o
