"""Intrinsics of the compositing kernels for vectors of eight pixels or eight channels.

Each intrinsic works on the work memory `s` of a tile, one array with constant offsets, 64 numbers per quantity.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gaze_core.splat.simd import (
    BITS,
    FLOAT,
    LANES,
    MASK,
    VECTOR,
    Lanes,
    add_up,
    address,
    constant,
    for_each_bit,
    load,
    multiply_add,
    splat,
    store,
)  # fmt: skip

WIDE = 4  # vectors in the wide variants: 32 channels
# Offsets into the work memory: weights, transmittance, depths, <gradient, values>, behind; seven sums; channels.
WEIGHT, TRANSMITTANCE, DEPTH, DOT, BEHIND, SUMS, CHANNELS = (np.uint64(n) for n in (0, 64, 128, 192, 256, 320, 384))
_MAX_SIGMA = np.float32(math.log(255.0) + 0.01)  # beyond it alpha < 1/255 whatever the opacity
_MIN_ALPHA = np.float32(1 / 255)
_MIN_TRANSMITTANCE = np.float32(1e-4)
_LN2_HIGH = 0.693359375  # few enough digits that its product with a small integer is exact
_LN2_LOW = math.log(2) - _LN2_HIGH


def _exponential(sigma: Lanes) -> Lanes:
    """exp(-sigma) for sigma cut to [0, 5.55]: exp(r) 2^-n with sigma = n ln 2 - r, |r| <= ln 2 / 2, Taylor to degree 7.

    n ln 2 is taken off in two parts (Cody and Waite 1980), the first of which is exact: one unit in the last place.
    """
    builder = sigma.builder
    zero, limit = constant(builder, 0), constant(builder, float(_MAX_SIGMA))
    cut = (sigma > zero).choose(sigma, zero).at_most(limit)
    integers = ir.VectorType(ir.IntType(32), LANES)
    whole = builder.fptosi((cut * (1 / math.log(2)) + 0.5).value, integers)
    n = Lanes(builder, builder.sitofp(whole, VECTOR))
    r = n * _LN2_HIGH - cut + n * _LN2_LOW
    e = r * (1 / 5040) + 1 / 720
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1):
        e = e * r + coefficient
    exponent = builder.sub(ir.Constant(integers, [127] * LANES), whole)
    power = builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * LANES)), VECTOR)
    return e * Lanes(builder, power)


def _sigma_and_alpha(builder: Any, dx: Lanes, half_a: Any, cross: Any, rest: Any, opacity: Any, max_alpha: Any) -> Any:
    """sigma = a dx^2 / 2 + cross dx + rest and the alpha that follows, at eight pixels of a row."""
    sigma = (dx * Lanes(builder, half_a) + Lanes(builder, cross)) * dx + Lanes(builder, rest)
    return sigma, (_exponential(sigma) * Lanes(builder, opacity)).at_most(Lanes(builder, max_alpha))


def _make_blend(width: int) -> Any:
    @intrinsic
    def blend(typing_context, s, values, row, target, stride, weights, mask):
        """For each pixel of the mask: s[target + stride * pixel + ...] += s[weights + pixel] * values[row + ...]."""

        def generate(context, builder, signature, args):
            s_, values_, row_, target_, stride_, weights_, mask_ = args
            s_type, values_type = signature.args[:2]
            source = address(context, builder, values_type, values_, row_)
            channels = [load(builder, source, n) for n in range(width)]
            out = address(context, builder, s_type, s_, target_, FLOAT)
            weight_at = address(context, builder, s_type, s_, weights_, FLOAT)

            def body(pixel, carried):
                weight = splat(builder, builder.load(builder.gep(weight_at, [pixel])))
                at = builder.bitcast(builder.gep(out, [builder.mul(pixel, stride_)]), VECTOR.as_pointer())
                for n, channel in enumerate(channels):
                    store(builder, multiply_add(builder, channel, weight, load(builder, at, n)), at, n)
                return carried

            for_each_bit(builder, mask_, [], body)
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
            channel_at = address(context, builder, values_type, values_, row_)
            channels = [load(builder, channel_at, n) for n in range(width)]
            gradients = address(context, builder, s_type, s_, source_, FLOAT)
            out = address(context, builder, s_type, s_, target_, FLOAT)

            def body(pixel, carried):
                at = builder.bitcast(builder.gep(gradients, [builder.mul(pixel, stride_)]), VECTOR.as_pointer())
                total = builder.fmul(channels[0], load(builder, at))
                for n in range(1, width):
                    total = multiply_add(builder, channels[n], load(builder, at, n), total)
                cell = builder.gep(out, [pixel])
                builder.store(add_up(builder, builder.load(cell), total), cell)
                return carried

            for_each_bit(builder, mask_, [], body)
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
            gradients = address(context, builder, s_type, s_, source_, FLOAT)
            weight_at = address(context, builder, s_type, s_, weights_, FLOAT)
            target = address(context, builder, out_type, out_, row_)

            def body(pixel, totals):
                weight = splat(builder, builder.load(builder.gep(weight_at, [pixel])))
                at = builder.bitcast(builder.gep(gradients, [builder.mul(pixel, stride_)]), VECTOR.as_pointer())
                return [multiply_add(builder, load(builder, at, n), weight, t) for n, t in enumerate(totals)]

            totals = for_each_bit(builder, mask_, [load(builder, target, n) for n in range(width)], body)
            for n, total in enumerate(totals):
                store(builder, total, target, n)
            return context.get_dummy_value()

        return types.void(s, source, stride, weights, mask, out, row), generate

    return gather


blend_eight, blend_wide = _make_blend(1), _make_blend(WIDE)
dots_eight, dots_wide = _make_dots(1), _make_dots(WIDE)
gather_eight, gather_wide = _make_gather(1), _make_gather(WIDE)


@intrinsic
def positive(typing_context, s, offset):
    """Bits of the eight numbers from s[offset] that are above 0."""

    def generate(context, builder, signature, args):
        eight = load(builder, address(context, builder, signature.args[0], args[0], args[1]))
        above = builder.fcmp_ordered(">", eight, ir.Constant(VECTOR, [0.0] * LANES))
        return builder.zext(builder.bitcast(above, ir.IntType(8)), MASK)

    return types.uint64(s, offset), generate


@intrinsic
def add_eight(typing_context, out, offset, source, at):
    """out[offset + n] += source[at + n] for eight numbers."""

    def generate(context, builder, signature, args):
        target = address(context, builder, signature.args[0], args[0], args[1])
        terms = Lanes.load(builder, address(context, builder, signature.args[2], args[2], args[3]))
        store(builder, (Lanes.load(builder, target) + terms).value, target)
        return context.get_dummy_value()

    return types.void(out, offset, source, at), generate


@intrinsic
def sum_eight(typing_context, s, offset):
    """The sum of the eight numbers from s[offset]."""

    def generate(context, builder, signature, args):
        eight = load(builder, address(context, builder, signature.args[0], args[0], args[1]))
        return add_up(builder, ir.Constant(FLOAT, 0.0), eight)

    return types.float32(s, offset), generate


@intrinsic
def weigh_row(typing_context, s, q, dx0, half_a, cross, rest, opacity, max_alpha, z):
    """Weights of one Gaussian at the eight pixels from `q` of the tile, and the bits of those that it contributes to."""

    def generate(context, builder, signature, args):
        s_, q_, dx0_, half_a_, cross_, rest_, opacity_, max_alpha_, z_ = args

        def at(offset):
            return address(context, builder, signature.args[0], s_, builder.add(q_, ir.Constant(MASK, int(offset))))

        dx = constant(builder, *range(LANES)) + Lanes(builder, dx0_)
        sigma, alpha = _sigma_and_alpha(builder, dx, half_a_, cross_, rest_, opacity_, max_alpha_)
        seen = (sigma >= 0) & (sigma < _MAX_SIGMA) & (alpha >= _MIN_ALPHA)
        through = Lanes.load(builder, at(TRANSMITTANCE))
        left = through * (constant(builder, 1) - alpha)
        taken = seen & (left > _MIN_TRANSMITTANCE)
        weight = taken.choose(alpha * through, constant(builder, 0))
        store(builder, weight.value, at(WEIGHT))
        store(builder, (Lanes.load(builder, at(DEPTH)) + weight * Lanes(builder, z_)).value, at(DEPTH))
        closed = through.at_most(constant(builder, 0) - through)
        store(builder, taken.choose(left, seen.choose(closed, through)).value, at(TRANSMITTANCE))
        return taken.bits()

    return types.uint64(s, q, dx0, half_a, cross, rest, opacity, max_alpha, z), generate


@intrinsic
def differentiate_row(typing_context, s, q, bits, dx0, dy, half_a, cross, rest, opacity, max_alpha, z):
    """One Gaussian at the eight pixels from `q`, of which it contributes to those of the bits.

    From back to front: with T the transmittance before it, w = alpha T its weight, d = <gradient, values> and `behind`
    the sum of w d over what lies behind it, dL/dalpha = T d - behind / (1 - alpha). Leaves the weights, steps T and
    `behind`, adds to the sums of dL/dsigma times 1, dx, dy, dx^2, dx dy, dy^2, and of w dL/ddepth.
    """

    def generate(context, builder, signature, args):
        s_, q_, bits_, dx0_, dy_, half_a_, cross_, rest_, opacity_, max_alpha_, z_ = args

        def at(offset, base=q_):
            return address(context, builder, signature.args[0], s_, builder.add(base, ir.Constant(MASK, int(offset))))

        zero, one = constant(builder, 0), constant(builder, 1)
        dx, dy = constant(builder, *range(LANES)) + Lanes(builder, dx0_), Lanes(builder, dy_)
        _, alpha = _sigma_and_alpha(builder, dx, half_a_, cross_, rest_, opacity_, max_alpha_)
        seen = Lanes(builder, builder.bitcast(builder.trunc(bits_, ir.IntType(8)), BITS))
        passes = seen & (alpha < Lanes(builder, max_alpha_))  # the clamp passes no gradient
        alpha = seen.choose(alpha, zero)
        rest_of_light = one / (one - alpha)
        before = Lanes.load(builder, at(TRANSMITTANCE)) * rest_of_light
        weight, grad_depth = alpha * before, Lanes.load(builder, at(DEPTH))
        dot = Lanes.load(builder, at(DOT)) + grad_depth * Lanes(builder, z_)
        behind = Lanes.load(builder, at(BEHIND))
        g_sigma = passes.choose(alpha * (behind * rest_of_light - before * dot), zero)
        for value, offset in ((behind + weight * dot, BEHIND), (before, TRANSMITTANCE), (weight, WEIGHT), (zero, DOT)):
            store(builder, value.value, at(offset))
        along, across = g_sigma * dx, g_sigma * dy
        for n, term in enumerate((g_sigma, along, across, along * dx, along * dy, across * dy, weight * grad_depth)):
            sums = at(SUMS + np.uint64(LANES * n), ir.Constant(MASK, 0))
            store(builder, (Lanes.load(builder, sums) + term).value, sums)
        return context.get_dummy_value()

    return types.void(s, q, bits, dx0, dy, half_a, cross, rest, opacity, max_alpha, z), generate
