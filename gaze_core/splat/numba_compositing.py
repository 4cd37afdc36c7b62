"""Compiled compositing of bands of 8 x 8 px tiles, forward and backward. No Python objects inside, GIL released.

For each Gaussian of a tile, alphas are computed in vectors of eight pixels; a 64-bit mask marks the pixels that it
contributes to, and only these accumulate its channels, in vectors of eight.
"""

import math

import numpy as np

from gaze_core.splat.compiled import compiled
from gaze_core.splat.numba_binning import GEOMETRY, TILE
from gaze_core.splat.numba_intrinsics import (
    BEHIND,
    CHANNELS,
    DEPTH,
    DOT,
    SUMS,
    TRANSMITTANCE,
    WEIGHT,
    WIDE,
    add_eight,
    blend_eight,
    blend_wide,
    differentiate_row,
    dots_eight,
    dots_wide,
    gather_eight,
    gather_wide,
    positive,
    sum_eight,
    weigh_row,
)  # fmt: skip
from gaze_core.splat.simd import LANES

GRADIENTS = 8  # floats before the channels in a slot of gradients: mean (2), conic (3), opacity, depth, unused
_PIXELS = TILE * TILE
_FAST = frozenset({"reassoc", "contract", "nsz", "arcp"})
_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled(inline=True, fastmath=_FAST)
def _rows(my, half_height, y0):
    """The pixel rows [low, high) of a tile that the ellipse reaches; y0 is the centre of the tile's first row."""
    low = max(0, int(math.ceil(my - half_height - y0 - np.float32(1e-3))))
    high = min(TILE, int(math.floor(my + half_height - y0 + np.float32(1e-3))) + 1)
    return np.uint64(low), np.uint64(max(low, high))


@compiled(fastmath=_FAST)
def forward_band(
    first_row, last_row, tiles_x, geometry, starts, lists, members, values, background, max_alpha,
    image, transmittance, depth, masks,
):  # fmt: skip
    """Composites the tile rows [first_row, last_row) into `image` (h, w, c) over the background.

    `values` is flat, its rows padded to a multiple of eight channels. `masks` (one word for each entry of `lists`,
    zeros) and `transmittance` are saved for the backward pass. `depth` is the weighted sum of depths.
    """
    height, width, channels = image.shape
    stride = np.uint64(-(-channels // LANES) * LANES)
    s = np.zeros(CHANNELS + np.uint64(_PIXELS) * stride, np.float32)
    flat = geometry.reshape(-1)
    for ty in range(first_row, last_row):
        for tx in range(tiles_x):
            tile = (ty - first_row) * tiles_x + tx
            _open_tile(s, tx, ty, width, height, stride)
            x0, y0 = np.float32(tx * TILE + 0.5), np.float32(ty * TILE + 0.5)
            for k in range(starts[tile], starts[tile + 1]):
                g = np.uint64(lists[k] * GEOMETRY)
                mask = _weigh(s, flat, g, x0, y0, max_alpha)
                masks[k] = mask
                if mask:
                    _blend_channels(s, values, np.uint64(members[lists[k]]) * stride, stride, mask)
                if k & 7 == 7 and not _any_open(s):
                    break
            _close_tile(s, tx, ty, stride, background, image, transmittance, depth)


@compiled(fastmath=_FAST)
def _open_tile(s, tx, ty, width, height, stride):
    """Initialises a tile. The transmittance of closed pixels is negative, and so it is past the image's edge."""
    for p in range(_PIXELS):
        inside = (tx * TILE + (p & 7) < width) and (ty * TILE + (p >> 3) < height)
        s[TRANSMITTANCE + np.uint64(p)] = _ONE if inside else -_ONE
        s[DEPTH + np.uint64(p)] = _ZERO
    s[CHANNELS:] = _ZERO


@compiled(inline=True, fastmath=_FAST)
def _weigh(s, geometry, g, x0, y0, max_alpha):
    """Weights of one Gaussian at the tile's pixels, and the mask of the pixels that it contributes to."""
    dx0, my = x0 - geometry[g], geometry[g + np.uint64(1)]
    a, b, c = geometry[g + np.uint64(2)], geometry[g + np.uint64(3)], geometry[g + np.uint64(4)]
    opacity, z = geometry[g + np.uint64(5)], geometry[g + np.uint64(6)]
    low, high = _rows(my, geometry[g + np.uint64(7)], y0)
    mask = np.uint64(0)
    for r in range(low, high):
        dy = y0 + np.float32(np.int64(r)) - my
        q = r * np.uint64(LANES)
        bits = weigh_row(s, q, dx0, np.float32(0.5) * a, b * dy, np.float32(0.5) * c * dy * dy, opacity, max_alpha, z)
        mask |= bits << q
    return mask


@compiled(inline=True, fastmath=_FAST)
def _any_open(s):
    for r in range(np.uint64(0), np.uint64(TILE)):  # noqa: SIM110 (numba compiles no generators)
        if positive(s, TRANSMITTANCE + r * np.uint64(LANES)):
            return True
    return False


@compiled(inline=True, fastmath=_FAST)
def _blend_channels(s, values, row, stride, mask):
    c = np.uint64(0)
    while c + np.uint64(WIDE * LANES) <= stride:
        blend_wide(s, values, row + c, CHANNELS + c, stride, WEIGHT, mask)
        c += np.uint64(WIDE * LANES)
    while c < stride:
        blend_eight(s, values, row + c, CHANNELS + c, stride, WEIGHT, mask)
        c += np.uint64(LANES)


@compiled(fastmath=_FAST)
def _close_tile(s, tx, ty, stride, background, image, transmittance, depth):
    height, width, channels = image.shape
    for y in range(ty * TILE, min(height, (ty + 1) * TILE)):
        for x in range(tx * TILE, min(width, (tx + 1) * TILE)):
            p = np.uint64((y - ty * TILE) * TILE + x - tx * TILE)
            through = abs(s[TRANSMITTANCE + p])
            transmittance[y, x] = through
            depth[y, x] = s[DEPTH + p]
            at = CHANNELS + p * stride
            for c in range(np.uint64(channels)):
                image[y, x, c] = s[at + c] + through * background[c]


@compiled(fastmath=_FAST)
def backward_band(
    first_row, last_row, tiles_x, geometry, starts, lists, members, values, background, max_alpha,
    transmittance, masks, grad_image, grad_alpha, grad_depth, slots, grad_background,
):  # fmt: skip
    """Gradients of `forward_band`: one row of `slots` for each member of the band, and the background's."""
    height, width, channels = grad_image.shape
    stride = np.uint64(-(-channels // LANES) * LANES)
    slot_size = np.uint64(GRADIENTS) + stride
    s = np.zeros(CHANNELS + np.uint64(_PIXELS) * stride, np.float32)
    flat = geometry.reshape(-1)
    for ty in range(first_row, last_row):
        for tx in range(tiles_x):
            tile = (ty - first_row) * tiles_x + tx
            _open_tile_backward(
                s, tx, ty, stride, background, transmittance, grad_image, grad_alpha, grad_depth, grad_background
            )
            x0, y0 = np.float32(tx * TILE + 0.5), np.float32(ty * TILE + 0.5)
            for k in range(starts[tile + 1] - 1, starts[tile] - 1, -1):
                mask = masks[k]
                if mask:
                    g, row = np.uint64(lists[k] * GEOMETRY), np.uint64(members[lists[k]]) * stride
                    slot = np.uint64(lists[k]) * slot_size
                    _dot_channels(s, values, row, stride, mask)
                    _differentiate(s, flat, g, x0, y0, max_alpha, mask, slots, slot)
                    _gather_channels(s, slots, slot + np.uint64(GRADIENTS), stride, mask)


@compiled(fastmath=_FAST)
def _open_tile_backward(
    s, tx, ty, stride, background, transmittance, grad_image, grad_alpha, grad_depth, grad_background
):  # fmt: skip
    height, width, channels = grad_image.shape
    for p in range(np.uint64(_PIXELS)):
        y, x = ty * TILE + np.int64(p >> np.uint64(3)), tx * TILE + np.int64(p & np.uint64(7))
        s[DOT + p] = _ZERO
        if y >= height or x >= width:
            s[TRANSMITTANCE + p], s[BEHIND + p], s[DEPTH + p] = _ONE, _ZERO, _ZERO
            continue
        through, dot, at = transmittance[y, x], _ZERO, CHANNELS + p * stride
        for c in range(np.uint64(channels)):
            g = grad_image[y, x, c]
            s[at + c] = g
            dot += g * background[c]
            grad_background[c] += through * g
        s[TRANSMITTANCE + p], s[DEPTH + p] = through, grad_depth[y, x]
        s[BEHIND + p] = through * (dot - grad_alpha[y, x])


@compiled(inline=True, fastmath=_FAST)
def _dot_channels(s, values, row, stride, mask):
    c = np.uint64(0)
    while c + np.uint64(WIDE * LANES) <= stride:
        dots_wide(s, values, row + c, DOT, CHANNELS + c, stride, mask)
        c += np.uint64(WIDE * LANES)
    while c < stride:
        dots_eight(s, values, row + c, DOT, CHANNELS + c, stride, mask)
        c += np.uint64(LANES)


@compiled(inline=True, fastmath=_FAST)
def _gather_channels(s, slots, row, stride, mask):
    c = np.uint64(0)
    while c + np.uint64(WIDE * LANES) <= stride:
        gather_wide(s, CHANNELS + c, stride, WEIGHT, mask, slots, row + c)
        c += np.uint64(WIDE * LANES)
    while c < stride:
        gather_eight(s, CHANNELS + c, stride, WEIGHT, mask, slots, row + c)
        c += np.uint64(LANES)


@compiled(inline=True, fastmath=_FAST)
def _differentiate(s, geometry, g, x0, y0, max_alpha, mask, slots, slot):
    """Weights of one Gaussian, and the gradients of its parameters; the dots are consumed and reset to 0."""
    dx0, my = x0 - geometry[g], geometry[g + np.uint64(1)]
    a, b, c = geometry[g + np.uint64(2)], geometry[g + np.uint64(3)], geometry[g + np.uint64(4)]
    opacity, z = geometry[g + np.uint64(5)], geometry[g + np.uint64(6)]
    for n in range(np.uint64(0), np.uint64(CHANNELS - SUMS)):
        s[SUMS + n] = _ZERO
    for r in range(np.uint64(0), np.uint64(TILE)):
        q = r * np.uint64(LANES)
        row_mask = (mask >> q) & np.uint64(255)
        if not row_mask:
            continue
        dy = y0 + np.float32(np.int64(r)) - my
        differentiate_row(
            s, q, row_mask, dx0, dy, np.float32(0.5) * a, b * dy, np.float32(0.5) * c * dy * dy, opacity, max_alpha, z
        )
    along, across = sum_eight(s, SUMS + np.uint64(8)), sum_eight(s, SUMS + np.uint64(16))
    slots[slot] -= a * along + b * across
    slots[slot + np.uint64(1)] -= b * along + c * across
    slots[slot + np.uint64(2)] += np.float32(0.5) * sum_eight(s, SUMS + np.uint64(24))
    slots[slot + np.uint64(3)] += sum_eight(s, SUMS + np.uint64(32))
    slots[slot + np.uint64(4)] += np.float32(0.5) * sum_eight(s, SUMS + np.uint64(40))
    slots[slot + np.uint64(5)] -= sum_eight(s, SUMS) / opacity
    slots[slot + np.uint64(6)] += sum_eight(s, SUMS + np.uint64(48))


@compiled(fastmath=_FAST)
def reduce_slots(first, last, slots, band_starts, slot_of, slot_size, out):
    """Sums the gradients of Gaussians [first, last) over the bands, always from the first band to the last.

    `slots` and `out` are flat, with rows of `slot_size` numbers, a multiple of eight.
    """
    size = np.uint64(slot_size)
    for band in range(len(slot_of)):
        for i in range(first, last):
            if slot_of[band, i] < 0:
                continue
            at, target = np.uint64(band_starts[band] + slot_of[band, i]) * size, np.uint64(i) * size
            for n in range(np.uint64(0), size, np.uint64(LANES)):
                add_eight(out, target + n, slots, at + n)
