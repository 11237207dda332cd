"""The convolution of a map of one channel, with a faster way back to that channel."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def fits(module: nn.Module, x: Tensor) -> bool:
    """Whether it is a convolution of one channel whose input has a gradient, with nothing unusual about it."""
    return (
        type(module) is nn.Conv2d
        and module.in_channels == 1
        and (module.stride, module.dilation, module.padding_mode) == ((1, 1), (1, 1), "zeros")
        and isinstance(module.padding, tuple)
        and x.requires_grad
        and x.ndim == 4
        and x.device.type == "cpu"
    )


def convolved(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """The same as `conv(x)`; backward a matrix product, whose rows are added up, takes the place of a convolution.

    (batch, 1, bins, frames) to (batch, channels, bins', frames').
    """
    y: Tensor = _FromOneChannel.apply(conv(x.detach()), x, conv.weight, conv.padding)  # type: ignore[no-untyped-call]
    return y


class _FromOneChannel(torch.autograd.Function):
    """Hands on what a convolution made of `x`, and hands back to `x` its gradient."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.shape, ctx.dtype, ctx.padding = x.shape, x.dtype, padding
        ctx.save_for_backward(weight)
        return y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        high, wide = weight.shape[2:]
        batch, _, bins, frames = slope.shape
        rows = (weight.flatten(1).T.to(slope.dtype) @ slope.flatten(2)).unflatten(2, (bins, frames))
        summed = torch.zeros(batch, bins + high - 1, frames + wide - 1)
        for place in range(high * wide):
            i, j = place // wide, place % wide
            summed[:, i : i + bins, j : j + frames] += rows[:, place]
        (up, left), (_, _, bins, frames) = ctx.padding, ctx.shape
        inner = summed[:, up : up + bins, left : left + frames]
        return slope, inner.unsqueeze(1).to(ctx.dtype), None, None
