"""Compiled compositing of bands of 8 x 8 px tiles, forward and backward. No Python objects inside, GIL released.

For each Gaussian of a tile the alphas of eight pixels at a time are computed in one vector; a 64-bit mask then says
which pixels it contributes to, and only those meet its channels, eight at a time. The vector instructions that numba
has no word for are intrinsics below. They stay in this file: numba's disk cache looks at the file of a kernel alone.

All work memory of a tile is one array, `s`, with constant offsets, so that the compiler knows what cannot overlap.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from gaze_core.splat.numba_binning import GEOMETRY, TILE

LANES = 8
GRADIENTS = 8  # floats before the channels in a slot of gradients: mean (2), conic (3), opacity, depth, unused
_PIXELS = TILE * TILE
_WIDE = 4  # vectors in the wide variants of the intrinsics: 32 channels
_OPTIONS: Any = {
    "nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}  # fmt: skip
_MAX_SIGMA = np.float32(math.log(255.0) + 0.01)  # beyond it alpha < 1/255 whatever the opacity
_MIN_ALPHA = np.float32(1 / 255)
_MIN_TRANSMITTANCE = np.float32(1e-4)
_LN2_HIGH = 0.693359375  # few enough digits that its product with a small integer is exact
_LN2_LOW = math.log(2) - _LN2_HIGH
_ZERO, _ONE = np.float32(0), np.float32(1)

# Offsets into a tile's work memory.
_WEIGHT, _THROUGH, _DEPTH, _DOT, _BEHIND, _SUMS, _CHANNELS = (np.uint64(n) for n in (0, 64, 128, 192, 256, 320, 384))

_FLOAT, _MASK = ir.FloatType(), ir.IntType(64)
_VECTOR, _BITS = ir.VectorType(_FLOAT, LANES), ir.VectorType(ir.IntType(1), LANES)
_FAST = ("contract", "nsz")  # no reassociation: the exponential depends on the order


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: Any = _VECTOR) -> Any:
    """Pointer to `kind` at an element of a one-dimensional array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _load(builder: Any, pointer: Any, vector: int = 0) -> Any:
    return builder.load(builder.gep(pointer, [ir.Constant(_MASK, vector)]), align=4)


def _store(builder: Any, value: Any, pointer: Any, vector: int = 0) -> None:
    builder.store(value, builder.gep(pointer, [ir.Constant(_MASK, vector)]), align=4)


def _splat(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v8f32"), [a, b, c])


def _add_up(builder: Any, start: Any, vector: Any) -> Any:
    kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
    sum_of = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fadd.v8f32")
    return builder.call(sum_of, [start, vector], fastmath=("reassoc",))


class _Lanes:
    """Eight floats, or eight truth values, while code is generated: arithmetic on it emits vector instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = _splat(builder, value) if value.type == _FLOAT else value

    @classmethod
    def load(cls, builder: Any, pointer: Any) -> "_Lanes":
        return cls(builder, _load(builder, pointer))

    def _emit(self, instruction: str, other: Any, *arguments: Any) -> "_Lanes":
        right = other.value if isinstance(other, _Lanes) else ir.Constant(_VECTOR, [float(other)] * LANES)
        emit = getattr(self.builder, instruction)
        return _Lanes(self.builder, emit(*arguments, self.value, right, **({} if arguments else {"flags": _FAST})))

    def __add__(self, other: Any) -> "_Lanes":
        return self._emit("fadd", other)

    def __sub__(self, other: Any) -> "_Lanes":
        return self._emit("fsub", other)

    def __mul__(self, other: Any) -> "_Lanes":
        return self._emit("fmul", other)

    def __truediv__(self, other: Any) -> "_Lanes":
        return self._emit("fdiv", other)

    def __lt__(self, other: Any) -> "_Lanes":
        return self._emit("fcmp_ordered", other, "<")

    def __gt__(self, other: Any) -> "_Lanes":
        return self._emit("fcmp_ordered", other, ">")

    def __ge__(self, other: Any) -> "_Lanes":
        return self._emit("fcmp_ordered", other, ">=")

    def __and__(self, other: "_Lanes") -> "_Lanes":
        return _Lanes(self.builder, self.builder.and_(self.value, other.value))

    def choose(self, yes: "_Lanes", no: "_Lanes") -> "_Lanes":
        """Lane by lane: `yes` where this is true, else `no`."""
        return _Lanes(self.builder, self.builder.select(self.value, yes.value, no.value))

    def at_most(self, other: "_Lanes") -> "_Lanes":
        return (self < other).choose(self, other)

    def bits(self) -> Any:
        """Eight truth values as the low bits of a mask."""
        return self.builder.zext(self.builder.bitcast(self.value, ir.IntType(8)), _MASK)


def _constant(builder: Any, *values: float) -> _Lanes:
    return _Lanes(builder, ir.Constant(_VECTOR, [float(values[n % len(values)]) for n in range(LANES)]))


def _exponential(sigma: _Lanes) -> _Lanes:
    """exp(-sigma) for sigma cut to [0, 5.55]: exp(r) 2^-n with sigma = n ln 2 - r, |r| <= ln 2 / 2, Taylor to degree 7.

    n ln 2 is taken off in two parts (Cody and Waite 1980), the first of which is exact: one unit in the last place.
    """
    builder = sigma.builder
    zero, limit = _constant(builder, 0), _constant(builder, float(_MAX_SIGMA))
    cut = (sigma > zero).choose(sigma, zero).at_most(limit)
    integers = ir.VectorType(ir.IntType(32), LANES)
    whole = builder.fptosi((cut * (1 / math.log(2)) + 0.5).value, integers)
    n = _Lanes(builder, builder.sitofp(whole, _VECTOR))
    r = n * _LN2_HIGH - cut + n * _LN2_LOW
    e = r * (1 / 5040) + 1 / 720
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1):
        e = e * r + coefficient
    exponent = builder.sub(ir.Constant(integers, [127] * LANES), whole)
    power = builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * LANES)), _VECTOR)
    return e * _Lanes(builder, power)


def _sigma_and_alpha(builder: Any, dx: _Lanes, half_a: Any, cross: Any, rest: Any, opacity: Any, max_alpha: Any) -> Any:
    """sigma = a dx^2 / 2 + cross dx + rest and the alpha that follows, at eight pixels of a row."""
    sigma = (dx * _Lanes(builder, half_a) + _Lanes(builder, cross)) * dx + _Lanes(builder, rest)
    return sigma, (_exponential(sigma) * _Lanes(builder, opacity)).at_most(_Lanes(builder, max_alpha))


def _for_each_bit(builder: Any, mask: Any, carried: list[Any], body: Any) -> list[Any]:
    """Calls `body(bit, carried) -> carried` for each set bit of a mask that is not 0; the values as they leave."""
    before, loop = builder.block, builder.append_basic_block("bit")
    after = builder.append_basic_block("bits_done")
    builder.branch(loop)
    builder.position_at_end(loop)
    rest = builder.phi(_MASK)
    rest.add_incoming(mask, before)
    values = [builder.phi(value.type) for value in carried]
    for value, start in zip(values, carried, strict=True):
        value.add_incoming(start, before)
    bit = builder.cttz(rest, ir.Constant(ir.IntType(1), 1))
    new_values = body(bit, values)
    fewer = builder.and_(rest, builder.sub(rest, ir.Constant(_MASK, 1)))
    rest.add_incoming(fewer, builder.block)
    for value, new in zip(values, new_values, strict=True):
        value.add_incoming(new, builder.block)
    builder.cbranch(builder.icmp_unsigned("!=", fewer, ir.Constant(_MASK, 0)), loop, after)
    builder.position_at_end(after)
    return new_values


def _make_blend(width: int) -> Any:
    @intrinsic
    def blend(typing_context, s, values, row, target, stride, weights, mask):
        """For each pixel of the mask: s[target + stride * pixel + ...] += s[weights + pixel] * values[row + ...]."""

        def generate(context, builder, signature, args):
            s_, values_, row_, target_, stride_, weights_, mask_ = args
            s_type, values_type = signature.args[:2]
            source = _address(context, builder, values_type, values_, row_)
            channels = [_load(builder, source, n) for n in range(width)]
            out = _address(context, builder, s_type, s_, target_, _FLOAT)
            weight_at = _address(context, builder, s_type, s_, weights_, _FLOAT)

            def body(pixel, carried):
                weight = _splat(builder, builder.load(builder.gep(weight_at, [pixel])))
                at = builder.bitcast(builder.gep(out, [builder.mul(pixel, stride_)]), _VECTOR.as_pointer())
                for n, channel in enumerate(channels):
                    _store(builder, _multiply_add(builder, channel, weight, _load(builder, at, n)), at, n)
                return carried

            _for_each_bit(builder, mask_, [], body)
            return context.get_dummy_value()

        return types.void(s, values, row, target, stride, weights, mask), generate

    return blend


def _make_dots(width: int) -> Any:
    @intrinsic
    def dots(typing_context, s, values, row, target, source, stride, mask):
        """For each pixel of the mask: s[target + pixel] += <s[source + stride * pixel + ...], values[row + ...]>."""

        def generate(context, builder, signature, args):
            s_, values_, row_, target_, source_, stride_, mask_ = args
            s_type, values_type = signature.args[:2]
            channel_at = _address(context, builder, values_type, values_, row_)
            channels = [_load(builder, channel_at, n) for n in range(width)]
            gradients = _address(context, builder, s_type, s_, source_, _FLOAT)
            out = _address(context, builder, s_type, s_, target_, _FLOAT)

            def body(pixel, carried):
                at = builder.bitcast(builder.gep(gradients, [builder.mul(pixel, stride_)]), _VECTOR.as_pointer())
                total = builder.fmul(channels[0], _load(builder, at))
                for n in range(1, width):
                    total = _multiply_add(builder, channels[n], _load(builder, at, n), total)
                cell = builder.gep(out, [pixel])
                builder.store(_add_up(builder, builder.load(cell), total), cell)
                return carried

            _for_each_bit(builder, mask_, [], body)
            return context.get_dummy_value()

        return types.void(s, values, row, target, source, stride, mask), generate

    return dots


def _make_gather(width: int) -> Any:
    @intrinsic
    def gather(typing_context, s, source, stride, weights, mask, out, row):
        """out[row + ...] += the sum over the mask's pixels of s[weights + pixel] * s[source + stride * pixel + ...]."""

        def generate(context, builder, signature, args):
            s_, source_, stride_, weights_, mask_, out_, row_ = args
            s_type, out_type = signature.args[0], signature.args[5]
            gradients = _address(context, builder, s_type, s_, source_, _FLOAT)
            weight_at = _address(context, builder, s_type, s_, weights_, _FLOAT)
            target = _address(context, builder, out_type, out_, row_)

            def body(pixel, totals):
                weight = _splat(builder, builder.load(builder.gep(weight_at, [pixel])))
                at = builder.bitcast(builder.gep(gradients, [builder.mul(pixel, stride_)]), _VECTOR.as_pointer())
                return [_multiply_add(builder, _load(builder, at, n), weight, t) for n, t in enumerate(totals)]

            totals = _for_each_bit(builder, mask_, [_load(builder, target, n) for n in range(width)], body)
            for n, total in enumerate(totals):
                _store(builder, total, target, n)
            return context.get_dummy_value()

        return types.void(s, source, stride, weights, mask, out, row), generate

    return gather


_blend, _blend_wide = _make_blend(1), _make_blend(_WIDE)
_dots, _dots_wide = _make_dots(1), _make_dots(_WIDE)
_gather, _gather_wide = _make_gather(1), _make_gather(_WIDE)


@intrinsic
def _positive(typing_context, s, offset):
    """Bits of the eight numbers from s[offset] that are above 0."""

    def generate(context, builder, signature, args):
        eight = _load(builder, _address(context, builder, signature.args[0], args[0], args[1]))
        above = builder.fcmp_ordered(">", eight, ir.Constant(_VECTOR, [0.0] * LANES))
        return builder.zext(builder.bitcast(above, ir.IntType(8)), _MASK)

    return types.uint64(s, offset), generate


@intrinsic
def _add_eight(typing_context, out, offset, source, at):
    """out[offset + n] += source[at + n] for eight numbers."""

    def generate(context, builder, signature, args):
        target = _address(context, builder, signature.args[0], args[0], args[1])
        terms = _Lanes.load(builder, _address(context, builder, signature.args[2], args[2], args[3]))
        _store(builder, (_Lanes.load(builder, target) + terms).value, target)
        return context.get_dummy_value()

    return types.void(out, offset, source, at), generate


@intrinsic
def _sum(typing_context, s, offset):
    """The sum of the eight numbers from s[offset]."""

    def generate(context, builder, signature, args):
        eight = _load(builder, _address(context, builder, signature.args[0], args[0], args[1]))
        return _add_up(builder, ir.Constant(_FLOAT, 0.0), eight)

    return types.float32(s, offset), generate


@intrinsic
def _weigh_row(typing_context, s, q, dx0, half_a, cross, rest, opacity, max_alpha, z):
    """Weights of one Gaussian at the eight pixels from `q` of the tile, and the bits of those that it contributes to."""

    def generate(context, builder, signature, args):
        s_, q_, dx0_, half_a_, cross_, rest_, opacity_, max_alpha_, z_ = args

        def at(offset):
            return _address(context, builder, signature.args[0], s_, builder.add(q_, ir.Constant(_MASK, int(offset))))

        dx = _constant(builder, *range(LANES)) + _Lanes(builder, dx0_)
        sigma, alpha = _sigma_and_alpha(builder, dx, half_a_, cross_, rest_, opacity_, max_alpha_)
        seen = (sigma >= 0) & (sigma < _MAX_SIGMA) & (alpha >= _MIN_ALPHA)
        through = _Lanes.load(builder, at(_THROUGH))
        left = through * (_constant(builder, 1) - alpha)
        taken = seen & (left > _MIN_TRANSMITTANCE)
        weight = taken.choose(alpha * through, _constant(builder, 0))
        _store(builder, weight.value, at(_WEIGHT))
        _store(builder, (_Lanes.load(builder, at(_DEPTH)) + weight * _Lanes(builder, z_)).value, at(_DEPTH))
        closed = through.at_most(_constant(builder, 0) - through)
        _store(builder, taken.choose(left, seen.choose(closed, through)).value, at(_THROUGH))
        return taken.bits()

    return types.uint64(s, q, dx0, half_a, cross, rest, opacity, max_alpha, z), generate


@intrinsic
def _differentiate_row(typing_context, s, q, bits, dx0, dy, half_a, cross, rest, opacity, max_alpha, z):
    """One Gaussian at the eight pixels from `q`, of which it contributes to those of the bits.

    From back to front: with T the transmittance before it, w = alpha T its weight, d = <gradient, values> and `behind`
    the sum of w d over what lies behind it, dL/dalpha = T d - behind / (1 - alpha). Leaves the weights, steps T and
    `behind`, adds to the sums of dL/dsigma times 1, dx, dy, dx^2, dx dy, dy^2, and of w dL/ddepth.
    """

    def generate(context, builder, signature, args):
        s_, q_, bits_, dx0_, dy_, half_a_, cross_, rest_, opacity_, max_alpha_, z_ = args

        def at(offset, base=q_):
            return _address(context, builder, signature.args[0], s_, builder.add(base, ir.Constant(_MASK, int(offset))))

        zero, one = _constant(builder, 0), _constant(builder, 1)
        dx, dy = _constant(builder, *range(LANES)) + _Lanes(builder, dx0_), _Lanes(builder, dy_)
        _, alpha = _sigma_and_alpha(builder, dx, half_a_, cross_, rest_, opacity_, max_alpha_)
        seen = _Lanes(builder, builder.bitcast(builder.trunc(bits_, ir.IntType(8)), _BITS))
        passes = seen & (alpha < _Lanes(builder, max_alpha_))  # the clamp passes no gradient
        alpha = seen.choose(alpha, zero)
        rest_of_light = one / (one - alpha)
        before = _Lanes.load(builder, at(_THROUGH)) * rest_of_light
        weight, grad_depth = alpha * before, _Lanes.load(builder, at(_DEPTH))
        dot = _Lanes.load(builder, at(_DOT)) + grad_depth * _Lanes(builder, z_)
        behind = _Lanes.load(builder, at(_BEHIND))
        g_sigma = passes.choose(alpha * (behind * rest_of_light - before * dot), zero)
        for value, offset in ((behind + weight * dot, _BEHIND), (before, _THROUGH), (weight, _WEIGHT), (zero, _DOT)):
            _store(builder, value.value, at(offset))
        along, across = g_sigma * dx, g_sigma * dy
        for n, term in enumerate((g_sigma, along, across, along * dx, along * dy, across * dy, weight * grad_depth)):
            sums = at(_SUMS + np.uint64(LANES * n), ir.Constant(_MASK, 0))
            _store(builder, (_Lanes.load(builder, sums) + term).value, sums)
        return context.get_dummy_value()

    return types.void(s, q, bits, dx0, dy, half_a, cross, rest, opacity, max_alpha, z), generate


@njit(inline="always", **_OPTIONS)
def _rows(my, half_height, y0):
    """The pixel rows [low, high) of a tile that the ellipse reaches; y0 is the centre of the tile's first row."""
    low = max(0, int(math.ceil(my - half_height - y0 - np.float32(1e-3))))
    high = min(TILE, int(math.floor(my + half_height - y0 + np.float32(1e-3))) + 1)
    return np.uint64(low), np.uint64(max(low, high))


@njit(**_OPTIONS)
def forward_band(
    first_row, last_row, tiles_x, geometry, starts, lists, members, values, background, max_alpha,
    image, transmittance, depth, masks,
):  # fmt: skip
    """Composites the tile rows [first_row, last_row) into `image` (h, w, c) over the background.

    `values` is flat, its rows padded to a multiple of eight channels. `masks` (one word for each entry of `lists`,
    zeros) and `transmittance` are what the backward pass needs. `depth` is the weighted sum of depths.
    """
    height, width, channels = image.shape
    stride = np.uint64(-(-channels // LANES) * LANES)
    s = np.zeros(_CHANNELS + np.uint64(_PIXELS) * stride, np.float32)
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


@njit(**_OPTIONS)
def _open_tile(s, tx, ty, width, height, stride):
    """Nothing drawn yet. The transmittance of a pixel that takes no more is negative; so are pixels past the edge."""
    for p in range(_PIXELS):
        inside = (tx * TILE + (p & 7) < width) and (ty * TILE + (p >> 3) < height)
        s[_THROUGH + np.uint64(p)] = _ONE if inside else -_ONE
        s[_DEPTH + np.uint64(p)] = _ZERO
    s[_CHANNELS:] = _ZERO


@njit(inline="always", **_OPTIONS)
def _weigh(s, geometry, g, x0, y0, max_alpha):
    """Weights of one Gaussian at the tile's pixels, and the mask of those that it contributes to."""
    dx0, my = x0 - geometry[g], geometry[g + np.uint64(1)]
    a, b, c = geometry[g + np.uint64(2)], geometry[g + np.uint64(3)], geometry[g + np.uint64(4)]
    opacity, z = geometry[g + np.uint64(5)], geometry[g + np.uint64(6)]
    low, high = _rows(my, geometry[g + np.uint64(7)], y0)
    mask = np.uint64(0)
    for r in range(low, high):
        dy = y0 + np.float32(np.int64(r)) - my
        q = r * np.uint64(LANES)
        bits = _weigh_row(s, q, dx0, np.float32(0.5) * a, b * dy, np.float32(0.5) * c * dy * dy, opacity, max_alpha, z)
        mask |= bits << q
    return mask


@njit(inline="always", **_OPTIONS)
def _any_open(s):
    for r in range(np.uint64(0), np.uint64(TILE)):  # noqa: SIM110 (numba compiles no generators)
        if _positive(s, _THROUGH + r * np.uint64(LANES)):
            return True
    return False


@njit(inline="always", **_OPTIONS)
def _blend_channels(s, values, row, stride, mask):
    c = np.uint64(0)
    while c + np.uint64(_WIDE * LANES) <= stride:
        _blend_wide(s, values, row + c, _CHANNELS + c, stride, _WEIGHT, mask)
        c += np.uint64(_WIDE * LANES)
    while c < stride:
        _blend(s, values, row + c, _CHANNELS + c, stride, _WEIGHT, mask)
        c += np.uint64(LANES)


@njit(**_OPTIONS)
def _close_tile(s, tx, ty, stride, background, image, transmittance, depth):
    height, width, channels = image.shape
    for y in range(ty * TILE, min(height, (ty + 1) * TILE)):
        for x in range(tx * TILE, min(width, (tx + 1) * TILE)):
            p = np.uint64((y - ty * TILE) * TILE + x - tx * TILE)
            through = abs(s[_THROUGH + p])
            transmittance[y, x] = through
            depth[y, x] = s[_DEPTH + p]
            at = _CHANNELS + p * stride
            for c in range(np.uint64(channels)):
                image[y, x, c] = s[at + c] + through * background[c]


@njit(**_OPTIONS)
def backward_band(
    first_row, last_row, tiles_x, geometry, starts, lists, members, values, background, max_alpha,
    transmittance, masks, grad_image, grad_alpha, grad_depth, slots, grad_background,
):  # fmt: skip
    """Gradients of `forward_band`: one row of `slots` for each member of the band, and the background's."""
    height, width, channels = grad_image.shape
    stride = np.uint64(-(-channels // LANES) * LANES)
    slot_size = np.uint64(GRADIENTS) + stride
    s = np.zeros(_CHANNELS + np.uint64(_PIXELS) * stride, np.float32)
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


@njit(**_OPTIONS)
def _open_tile_backward(
    s, tx, ty, stride, background, transmittance, grad_image, grad_alpha, grad_depth, grad_background
):  # fmt: skip
    height, width, channels = grad_image.shape
    for p in range(np.uint64(_PIXELS)):
        y, x = ty * TILE + np.int64(p >> np.uint64(3)), tx * TILE + np.int64(p & np.uint64(7))
        s[_DOT + p] = _ZERO
        if y >= height or x >= width:
            s[_THROUGH + p], s[_BEHIND + p], s[_DEPTH + p] = _ONE, _ZERO, _ZERO
            continue
        through, dot, at = transmittance[y, x], _ZERO, _CHANNELS + p * stride
        for c in range(np.uint64(channels)):
            g = grad_image[y, x, c]
            s[at + c] = g
            dot += g * background[c]
            grad_background[c] += through * g
        s[_THROUGH + p], s[_DEPTH + p] = through, grad_depth[y, x]
        s[_BEHIND + p] = through * (dot - grad_alpha[y, x])


@njit(inline="always", **_OPTIONS)
def _dot_channels(s, values, row, stride, mask):
    c = np.uint64(0)
    while c + np.uint64(_WIDE * LANES) <= stride:
        _dots_wide(s, values, row + c, _DOT, _CHANNELS + c, stride, mask)
        c += np.uint64(_WIDE * LANES)
    while c < stride:
        _dots(s, values, row + c, _DOT, _CHANNELS + c, stride, mask)
        c += np.uint64(LANES)


@njit(inline="always", **_OPTIONS)
def _gather_channels(s, slots, row, stride, mask):
    c = np.uint64(0)
    while c + np.uint64(_WIDE * LANES) <= stride:
        _gather_wide(s, _CHANNELS + c, stride, _WEIGHT, mask, slots, row + c)
        c += np.uint64(_WIDE * LANES)
    while c < stride:
        _gather(s, _CHANNELS + c, stride, _WEIGHT, mask, slots, row + c)
        c += np.uint64(LANES)


@njit(inline="always", **_OPTIONS)
def _differentiate(s, geometry, g, x0, y0, max_alpha, mask, slots, slot):
    """Weights of one Gaussian, and the gradients of what it is; the dots are used up and set to 0."""
    dx0, my = x0 - geometry[g], geometry[g + np.uint64(1)]
    a, b, c = geometry[g + np.uint64(2)], geometry[g + np.uint64(3)], geometry[g + np.uint64(4)]
    opacity, z = geometry[g + np.uint64(5)], geometry[g + np.uint64(6)]
    for n in range(np.uint64(0), np.uint64(_CHANNELS - _SUMS)):
        s[_SUMS + n] = _ZERO
    for r in range(np.uint64(0), np.uint64(TILE)):
        q = r * np.uint64(LANES)
        row_mask = (mask >> q) & np.uint64(255)
        if not row_mask:
            continue
        dy = y0 + np.float32(np.int64(r)) - my
        _differentiate_row(
            s, q, row_mask, dx0, dy, np.float32(0.5) * a, b * dy, np.float32(0.5) * c * dy * dy, opacity, max_alpha, z
        )
    along, across = _sum(s, _SUMS + np.uint64(8)), _sum(s, _SUMS + np.uint64(16))
    slots[slot] -= a * along + b * across
    slots[slot + np.uint64(1)] -= b * along + c * across
    slots[slot + np.uint64(2)] += np.float32(0.5) * _sum(s, _SUMS + np.uint64(24))
    slots[slot + np.uint64(3)] += _sum(s, _SUMS + np.uint64(32))
    slots[slot + np.uint64(4)] += np.float32(0.5) * _sum(s, _SUMS + np.uint64(40))
    slots[slot + np.uint64(5)] -= _sum(s, _SUMS) / opacity
    slots[slot + np.uint64(6)] += _sum(s, _SUMS + np.uint64(48))


@njit(**_OPTIONS)
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
                _add_eight(out, target + n, slots, at + n)
