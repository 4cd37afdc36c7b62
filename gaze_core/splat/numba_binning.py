"""Compiled sorting and binning: which Gaussians reach which 8 x 8 px tile, front to back."""

import math
from typing import Any

import numpy as np
from numba import njit

TILE = 8
GEOMETRY = 8  # floats for each Gaussian of a band: mean (2), conic (3), opacity, depth, half height
_OPTIONS: Any = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}
_DIGIT_BITS, _DIGIT = 11, 2047
_SLACK_PX = 1e-3  # rounding must never cost a pixel that the exact ellipse covers


@njit(**_OPTIONS)
def depth_order(depths, extents):
    """Indices of the visible Gaussians from near to far; equal depths keep their order (radix sort, three digits).

    Depths of visible Gaussians are positive, so their bits as integers sort like the numbers.
    """
    ids = np.empty(len(depths), np.int32)
    count = 0
    for i in range(len(depths)):
        if extents[i, 0] > 0:
            ids[count] = i
            count += 1
    bits = depths.view(np.uint32)
    ids, other = ids[:count], np.empty(count, np.int32)
    for digit in range(3):
        shift = np.uint32(digit * _DIGIT_BITS)
        starts = np.zeros(_DIGIT + 2, np.int64)
        for i in ids:
            starts[((bits[i] >> shift) & np.uint32(_DIGIT)) + 1] += 1
        for d in range(_DIGIT + 1):
            starts[d + 1] += starts[d]
        for i in ids:
            d = (bits[i] >> shift) & np.uint32(_DIGIT)
            other[starts[d]] = i
            starts[d] += 1
        ids, other = other, ids
    return ids


@njit(**_OPTIONS)
def members_of_bands(order, means, extents, rows_per_band, slot_of):
    """The Gaussians that each band of tile rows may see, in the order given.

    Returns where each band's list starts and all lists in a row. `slot_of[band, i]` becomes the position of Gaussian i
    in its band's list, or -1.
    """
    slot_of[:] = -1
    num_bands = len(slot_of)
    starts = np.zeros(num_bands + 1, np.int64)
    for i in order:
        first, last = _bands(means, extents, i, rows_per_band, num_bands)
        for band in range(first, last):
            slot_of[band, i] = starts[band + 1]
            starts[band + 1] += 1
    for band in range(num_bands):
        starts[band + 1] += starts[band]
    members = np.empty(starts[-1], np.int32)
    for i in order:
        first, last = _bands(means, extents, i, rows_per_band, num_bands)
        for band in range(first, last):
            members[starts[band] + slot_of[band, i]] = i
    return starts, members


@njit(**_OPTIONS)
def _bands(means, extents, i, rows_per_band, num_bands):
    band_px, reach = np.float32(rows_per_band * TILE), extents[i, 1] + _SLACK_PX
    first = int(math.floor((means[i, 1] - reach) / band_px))
    last = int(math.ceil((means[i, 1] + reach) / band_px))
    return max(first, 0), min(last, num_bands)


@njit(**_OPTIONS)
def bin_band(first_row, last_row, tiles_x, members, means, conics, opacities, depths, extents):
    """Tile lists of the rows [first_row, last_row), which only `members` reach, in the order of those.

    Returns the geometry of the members packed by rows, where each tile's list starts, and all lists in a row, as
    positions in `members`.
    """
    num, capacity = len(members), 0
    for i in members:
        x0, x1, y0, y1 = _box(means, extents, i, first_row, last_row, tiles_x)
        capacity += max(0, x1 - x0) * max(0, y1 - y0)
    geometry = np.empty((num, GEOMETRY), np.float32)
    hit_tiles, hit_slots = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    starts = np.zeros((last_row - first_row) * tiles_x + 1, np.int64)
    hits = 0
    for slot in range(num):
        i = members[slot]
        geometry[slot, 0], geometry[slot, 1] = means[i, 0], means[i, 1]
        geometry[slot, 2], geometry[slot, 3], geometry[slot, 4] = conics[i, 0], conics[i, 1], conics[i, 2]
        geometry[slot, 5], geometry[slot, 6], geometry[slot, 7] = opacities[i], depths[i], extents[i, 1]
        x0, x1, y0, y1 = _box(means, extents, i, first_row, last_row, tiles_x)
        limit = math.log(255.0 * opacities[i]) * 1.0001 + 1e-4
        for ty in range(y0, y1):
            for tx in range(x0, x1):
                if _least_sigma(means[i, 0], means[i, 1], conics[i, 0], conics[i, 1], conics[i, 2], tx, ty) <= limit:
                    tile = (ty - first_row) * tiles_x + tx
                    hit_tiles[hits], hit_slots[hits] = tile, slot
                    starts[tile + 1] += 1
                    hits += 1
    for tile in range(len(starts) - 1):
        starts[tile + 1] += starts[tile]
    cursor = starts.copy()
    lists = np.empty(hits, np.int32)
    for k in range(hits):
        lists[cursor[hit_tiles[k]]] = hit_slots[k]
        cursor[hit_tiles[k]] += 1
    return geometry, starts, lists


@njit(**_OPTIONS)
def _box(means, extents, i, first_row, last_row, tiles_x):
    """Tiles [x0, x1) x [y0, y1) of the band that a Gaussian's box overlaps."""
    rx, ry = extents[i, 0] + _SLACK_PX, extents[i, 1] + _SLACK_PX
    return (
        max(0, int(math.floor((means[i, 0] - rx) / TILE))),
        min(tiles_x, int(math.ceil((means[i, 0] + rx) / TILE))),
        max(first_row, int(math.floor((means[i, 1] - ry) / TILE))),
        min(last_row, int(math.ceil((means[i, 1] + ry) / TILE))),
    )


@njit(**_OPTIONS)
def _least_sigma(mx, my, a, b, c, tx, ty):
    """The least sigma = (a dx^2 + c dy^2) / 2 + b dx dy over the square that the tile's pixel centres span."""
    x0, y0 = tx * TILE + 0.5 - mx, ty * TILE + 0.5 - my
    x1, y1 = x0 + (TILE - 1), y0 + (TILE - 1)
    if x0 <= 0 and x1 >= 0 and y0 <= 0 and y1 >= 0:
        return 0.0
    # A convex function: its least value lies on a side that faces the centre.
    least = math.inf
    if x0 > 0 or x1 < 0:
        x = x0 if x0 > 0 else x1
        y = min(max(-b * x / c, y0), y1)
        least = 0.5 * (a * x * x + c * y * y) + b * x * y
    if y0 > 0 or y1 < 0:
        y = y0 if y0 > 0 else y1
        x = min(max(-b * y / a, x0), x1)
        least = min(least, 0.5 * (a * x * x + c * y * y) + b * x * y)
    return least
