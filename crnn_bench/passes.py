"""Compiled passes over maps for `fused`: each reads a map once, and however it is shared out, it finds the same.

A map is (batch, bins, frames, channels) in memory, of float32 or of bf16 seen as uint16. A *strip* is a row of windows,
or the rows that are left below the last of them; strips are numbered through the batch. Every pass works on the strips
from `first` to `last`, writes what belongs to them alone, and computes in float32.

Needs numba. Arithmetic that numba would widen to 64 bits stands here in LLVM's words, so that it becomes vector code.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

NOWHERE = 255  # the place in its window of what was dropped
LOG2_E, LN2_HIGH, LN2_LOW = 1.44269504, 0.693359375, -2.12194440e-4
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)  # Cephes
MAGIC = 12582912.0  # added to a small float, it leaves the nearest integer in the low bits
FLOAT, INT, SHORT = ir.FloatType(), ir.IntType(32), ir.IntType(16)
ZERO, ONE = np.float32(0), np.float32(1)

inlined: Callable[[Callable[..., Any]], Any] = intrinsic
compiled: Callable[[Callable[..., Any]], Any] = numba.njit(cache=True, nogil=True, fastmath={"contract"})


@inlined
def wide(_: Any, value: types.Type) -> Any:
    """A number of a map as float32."""

    def code(_context: Any, build: Any, _signature: Any, arguments: Any) -> Any:
        if value != types.uint16:
            return arguments[0]
        return build.bitcast(build.shl(build.zext(arguments[0], INT), INT(16)), FLOAT)

    return types.float32(value), code


@inlined
def narrow(_: Any, value: types.Type, like: types.Type) -> Any:
    """A float32 as a map holds it: rounded to the nearest bf16, ties to even, where `like` is one."""

    def code(_context: Any, build: Any, _signature: Any, arguments: Any) -> Any:
        if like != types.uint16:
            return arguments[0]
        bits = build.bitcast(arguments[0], INT)
        odd = build.and_(build.lshr(bits, INT(16)), INT(1))
        return build.trunc(build.lshr(build.add(build.add(bits, odd), INT(0x7FFF)), INT(16)), SHORT)

    return like(types.float32, like), code


@inlined
def exp(_: Any, value: types.Type) -> Any:
    """e to the power of a float32 up to 0, to 2e-7 of it; below -87 it is that of -87."""

    def code(_context: Any, build: Any, _signature: Any, arguments: Any) -> Any:
        def real(number: float) -> Any:
            return FLOAT(float(np.float32(number)))

        x = build.select(build.fcmp_ordered("<", arguments[0], real(-87)), real(-87), arguments[0])
        shifted = build.fma(x, real(LOG2_E), real(MAGIC))
        whole = build.fsub(shifted, real(MAGIC))
        rest = build.fma(whole, real(-LN2_LOW), build.fma(whole, real(-LN2_HIGH), x))
        sum_ = real(EXP[0])
        for term in EXP[1:]:
            sum_ = build.fma(sum_, rest, real(term))
        sum_ = build.fadd(build.fma(sum_, build.fmul(rest, rest), rest), real(1))
        exponent = build.shl(build.bitcast(shifted, INT), INT(23))
        return build.bitcast(build.add(build.bitcast(sum_, INT), exponent), FLOAT)

    return types.float32(types.float32), code


@inlined
def drawn(_: Any, number: types.Type, low: types.Type, high: types.Type) -> Any:
    """A random uint32 for each number and each pair of seeds: two rounds of MurmurHash3's finaliser (Appleby 2011)."""

    def code(_context: Any, build: Any, _signature: Any, arguments: Any) -> Any:
        bits, *seeds = arguments
        for seed in seeds:
            bits = build.xor(bits, seed)
            for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
                bits = build.mul(build.xor(bits, build.lshr(bits, INT(shift))), INT(factor))
            bits = build.xor(bits, build.lshr(bits, INT(16)))
        return bits

    return types.uint32(types.uint32, types.uint32, types.uint32), code


@compiled
def elu(value: Any) -> Any:
    """Of a float32."""
    return value if value > ZERO else exp(value) - ONE


@compiled
def survey(x: Any, sign: Any, size: Any, best: Any, place: Any, sums: Any, first: int, last: int) -> None:
    """Sums of ELU(x), and of each window the x that is largest, or smallest where the sign is -1.

    Args:
        x: (batch, bins, frames, channels).
        sign: (channels), 1 or -1.
        size: (bins, frames) of a window.
        best: (batch, bins // size[0], frames // size[1], channels), the found x.
        place: of the same shape, its place in the window, row by row; the first of several that are equal.
        sums: (strips, 3, channels), of each strip its first ELU(x), the sum of its differences from that, and the sum
            of their squares.
    """
    _, bins, frames, channels = x.shape
    rows, columns = size
    strips = -(-bins // rows)
    found, at = np.empty(channels, np.float32), np.empty(channels, np.uint8)
    sign, shift, sum_, squares = sign.copy(), sums[0, 0].copy(), sums[0, 0].copy(), sums[0, 0].copy()
    for strip in range(first, last):
        item, top = strip // strips, strip % strips * rows
        high = min(rows, bins - top)
        windows = frames // columns if high == rows else 0
        for c in range(channels):
            shift[c] = elu(wide(x[item, top, 0, c]))
            sum_[c] = squares[c] = ZERO
        for window in range(windows):
            for c in range(channels):
                found[c] = -np.inf
                at[c] = 0
            for k in range(rows * columns):
                pixel, here = x[item, top + k // columns, window * columns + k % columns], np.uint8(k)
                for c in range(channels):
                    v = wide(pixel[c])
                    u = elu(v) - shift[c]
                    sum_[c] += u
                    squares[c] += u * u
                    key = v * sign[c]
                    better = key > found[c]
                    found[c] = key if better else found[c]
                    at[c] = here if better else at[c]
            here_best, here_place = best[item, strip % strips, window], place[item, strip % strips, window]
            for c in range(channels):
                here_best[c] = narrow(found[c] * sign[c], here_best[c])
                here_place[c] = at[c]
        for row in range(top, top + high):
            for frame in range(windows * columns, frames):
                pixel = x[item, row, frame]
                for c in range(channels):
                    u = elu(wide(pixel[c])) - shift[c]
                    sum_[c] += u
                    squares[c] += u * u
        sums[strip, 0] = shift
        sums[strip, 1] = sum_
        sums[strip, 2] = squares


@compiled
def put_out(
    best: Any, place: Any, mean: Any, scale: Any, bias: Any, dropout: Any, out: Any, first: int, last: int
) -> None:
    """Batch norm and dropout of what was found; a strip is a row of the small maps.

    Args:
        best, place: as from `survey`; what is dropped is then NOWHERE.
        mean, scale, bias: (channels), of (ELU(x) - mean) · scale + bias.
        dropout: two seeds, the number of 2³² below which a draw drops, and what the others are multiplied by.
        out: of the shape of `best`.
    """
    _, bins, frames, channels = best.shape
    low, high, threshold, kept = dropout
    mean, scale, bias = mean.copy(), scale.copy(), bias.copy()
    for strip in range(first, last):
        item, row = strip // bins, strip % bins
        for frame in range(frames):
            here_best, here_place = best[item, row, frame], place[item, row, frame]
            here_out = out[item, row, frame]
            number = (strip * frames + frame) * channels
            for c in range(channels):
                u = elu(wide(here_best[c])) - mean[c]
                stays = drawn(np.uint32(number + c), low, high) >= threshold
                here_out[c] = narrow((u * scale[c] + bias[c]) * kept if stays else ZERO, here_out[c])
                here_place[c] = here_place[c] if stays else np.uint8(NOWHERE)


@compiled
def sum_up(
    best: Any, place: Any, slope: Any, mean: Any, deviation: Any, kept: Any, sums: Any, first: int, last: int
) -> None:
    """Sums over the gradient, and over its product with the normalised ELU(x).

    Args:
        best, place: as from `put_out`.
        slope: the gradient by its output.
        mean, deviation: (channels), the latter is 1 / standard deviation.
        kept: what `put_out` multiplied by.
        sums: (strips, 2, channels).
    """
    _, bins, frames, channels = best.shape
    mean, deviation = mean.copy(), deviation.copy()
    plain, weighted = mean.copy(), mean.copy()
    for strip in range(first, last):
        item, row = strip // bins, strip % bins
        for c in range(channels):
            plain[c] = weighted[c] = ZERO
        for frame in range(frames):
            here_best, here_place = best[item, row, frame], place[item, row, frame]
            here_slope = slope[item, row, frame]
            for c in range(channels):
                u = (elu(wide(here_best[c])) - mean[c]) * deviation[c]
                d = wide(here_slope[c]) * kept if here_place[c] != NOWHERE else ZERO
                plain[c] += d
                weighted[c] += d * u
        sums[strip, 0] = plain
        sums[strip, 1] = weighted


@compiled
def hand_back(
    x: Any, place: Any, slope: Any, size: Any, mean: Any, factors: Any, out: Any, first: int, last: int
) -> None:
    """The gradient by x: ELU'(x) · (a · slope where x was found + b + c · (ELU(x) - mean)).

    Args:
        x, size: as for `survey`.
        place, slope: as for `sum_up`.
        mean: (channels).
        factors: (3, channels), a, b and c.
        out: of the shape of `x`.
    """
    _, bins, frames, channels = x.shape
    rows, columns = size
    strips = -(-bins // rows)
    mean, a, b, slope_of_u = mean.copy(), factors[0].copy(), factors[1].copy(), factors[2].copy()  # own memory
    for strip in range(first, last):
        item, top = strip // strips, strip % strips * rows
        high = min(rows, bins - top)
        windows = frames // columns if high == rows else 0
        for window in range(windows):
            here_place, here_slope = place[item, strip % strips, window], slope[item, strip % strips, window]
            for k in range(rows * columns):
                row, frame, here = top + k // columns, window * columns + k % columns, np.uint8(k)
                pixel, pixel_out = x[item, row, frame], out[item, row, frame]
                for c in range(channels):
                    v = wide(pixel[c])
                    e = exp(v)
                    u = (v if v > ZERO else e - ONE) - mean[c]
                    d = a[c] * wide(here_slope[c]) if here_place[c] == here else ZERO
                    pixel_out[c] = narrow((ONE if v > ZERO else e) * (d + (b[c] + slope_of_u[c] * u)), pixel[c])
        for row in range(top, top + high):
            for frame in range(windows * columns, frames):
                pixel, pixel_out = x[item, row, frame], out[item, row, frame]
                for c in range(channels):
                    v = wide(pixel[c])
                    e = exp(v)
                    u = (v if v > ZERO else e - ONE) - mean[c]
                    pixel_out[c] = narrow((ONE if v > ZERO else e) * (b[c] + slope_of_u[c] * u), pixel[c])
