"""Compiled sorting and binning: the Gaussians that overlap each 8 x 8 px tile, front to back."""

import math

import numpy as np

from gaze_core.splat.compiled import compiled

TILE = 8
GEOMETRY = 8  # floats for each Gaussian of a band: mean (2), conic (3), opacity, depth, half height
_DIGIT_BITS, _DIGIT = 11, 2047
_SLACK_PX = 1e-3  # margin, so that rounding never loses a pixel that the exact ellipse covers


@compiled
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


@compiled
def members_of_bands(order, means, extents, rows_per_band, slot_of):
    """The Gaussians that may overlap each band of tile rows, in the given order.

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


@compiled
def _bands(means, extents, i, rows_per_band, num_bands):
    band_px, reach = np.float32(rows_per_band * TILE), extents[i, 1] + _SLACK_PX
    first = int(math.floor((means[i, 1] - reach) / band_px))
    last = int(math.ceil((means[i, 1] + reach) / band_px))
    return max(first, 0), min(last, num_bands)


@compiled
def bin_band(first_row, last_row, tiles_x, members, means, conics, opacities, depths, extents):
    """Tile lists of the rows [first_row, last_row), which only `members` overlap, in the order of `members`.

    Returns the geometry of the members packed by rows, the start of each tile's list, and the concatenated lists of
    indices in `members`.
    """
    num, num_rows = len(members), last_row - first_row
    geometry = np.empty((num, GEOMETRY), np.float32)
    spans = np.empty((num, num_rows, 2), np.int32)  # the tiles [first, last) of each row
    starts = np.zeros(num_rows * tiles_x + 1, np.int64)
    for slot in range(num):
        i = members[slot]
        geometry[slot, 0], geometry[slot, 1] = means[i, 0], means[i, 1]
        geometry[slot, 2], geometry[slot, 3], geometry[slot, 4] = conics[i, 0], conics[i, 1], conics[i, 2]
        geometry[slot, 5], geometry[slot, 6], geometry[slot, 7] = opacities[i], depths[i], extents[i, 1]
        limit = 2 * (math.log(255.0 * opacities[i]) * 1.0001 + 1e-4)
        for row in range(num_rows):
            first, last = _span(geometry[slot], extents[i, 0], limit, first_row + row, tiles_x)
            spans[slot, row, 0], spans[slot, row, 1] = first, last
            for tile in range(row * tiles_x + first, row * tiles_x + last):
                starts[tile + 1] += 1
    for tile in range(len(starts) - 1):
        starts[tile + 1] += starts[tile]
    cursor = starts.copy()
    lists = np.empty(starts[-1], np.int32)
    for slot in range(num):
        for row in range(num_rows):
            for tile in range(row * tiles_x + spans[slot, row, 0], row * tiles_x + spans[slot, row, 1]):
                lists[cursor[tile]] = slot
                cursor[tile] += 1
    return geometry, starts, lists


@compiled
def _span(geometry, half_width, limit, row, tiles_x):
    """The tiles [first, last) of a row with a pixel centre in the ellipse a x^2 + 2 b x y + c y^2 <= limit."""
    mx, my, half_height = float(geometry[0]), float(geometry[1]), float(geometry[7]) + _SLACK_PX
    low, high = row * TILE + 0.5 - my, row * TILE + (TILE - 0.5) - my
    low, high = max(low, -half_height), min(high, half_height)
    if low > high:
        return 0, 0
    a, b, c = float(geometry[2]), float(geometry[3]), float(geometry[4])
    # The ellipse is widest to the right at y = -b x / c, to the left at the opposite point; elsewhere at an end.
    y_widest = -b * half_width / c
    right = _half_chord(a, b, c, min(max(y_widest, low), high), limit, 1.0)
    left = _half_chord(a, b, c, min(max(-y_widest, low), high), limit, -1.0)
    right, left = min(right, float(half_width)) + _SLACK_PX, max(left, -float(half_width)) - _SLACK_PX
    first, last = int(math.ceil(mx + left - 0.5)), int(math.floor(mx + right - 0.5))
    if first > last:
        return 0, 0  # it passes between two pixel centres
    return min(max(first // TILE, 0), tiles_x), min(max(last // TILE + 1, 0), tiles_x)


@compiled
def _half_chord(a, b, c, y, limit, side):
    """The ellipse's right (side 1) or left (-1) end on the line y."""
    return (-b * y + side * math.sqrt(max(b * b * y * y - a * (c * y * y - limit), 0.0))) / a
