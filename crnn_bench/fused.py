"""ELU, batch norm, max pooling and dropout of a convolution's output in as few passes over memory as there can be.

ELU rises and a batch norm is a line per channel, so what they make of a window's largest value is the largest of what
they make of its values, or the smallest where the line falls. So one pass over the convolution's output finds its
statistics and those values together, and the rest is done to maps of the size of the output. Backward, one pass writes
the gradient, which but for two sums per channel is zero wherever nothing was found.

The plain modules are the reference; they compute whatever does not fit, all of evaluation, and what is frozen.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from crnn_bench import one_channel
from crnn_bench.poolings.max import Max

MOST_PLACES = 254  # of a window; the number after them stands for none


class FusedBlock(nn.Sequential):
    """A block's own modules under their own names, some of them computed together where that can be done."""

    def forward(self, x: Tensor) -> Tensor:
        modules: list[Any] = list(self)
        while modules:
            if _is_row(modules) and _fits(modules, x):
                dropout = modules[3] if _ends_in_dropout(modules) else None
                x = _computed_together(x, modules[1], modules[2].size, dropout)
                modules = modules[4 if dropout else 3 :]
            else:
                x = one_channel.convolved(x, modules[0]) if one_channel.fits(modules[0], x) else modules[0](x)
                modules = modules[1:]
        return x


def fuse(network: nn.Module) -> None:
    """Makes FusedBlocks of a network's blocks, where that can be done; parameters, buffers and their names stay."""
    if can_fuse(network):
        for name, module in list(network.named_modules()):
            if name and _is_block(module):
                network.set_submodule(name, FusedBlock(*module))


def can_fuse(network: nn.Module) -> bool:
    """Whether there is something to fuse, and on this machine what it takes."""
    has_blocks = any(_is_block(module) for name, module in network.named_modules() if name)
    return has_blocks and not torch.cuda.is_available() and find_spec("numba") is not None


def _is_block(module: nn.Module) -> bool:
    return type(module) is nn.Sequential and any(_is_row(list(module)[place:]) for place in range(len(module)))


def _is_row(modules: list[nn.Module]) -> bool:
    """Whether it begins with what is computed together."""
    return [type(module) for module in modules[:3]] == [nn.ELU, nn.BatchNorm2d, Max]


def _ends_in_dropout(modules: list[nn.Module]) -> bool:
    return type(modules[3]) is nn.Dropout if len(modules) > 3 else False


def _fits(modules: list[Any], x: Tensor) -> bool:
    elu, norm, pool = modules[:3]
    drops_all = _ends_in_dropout(modules) and modules[3].p >= 1
    return (
        elu.alpha == 1
        and norm.training
        and norm.affine
        and norm.weight.dtype == torch.float32
        and norm.running_mean is not None
        and norm.momentum is not None
        and not drops_all
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.ndim == 4
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.numel() > x.shape[1]
        and x.shape[2] >= pool.size[0]
        and x.shape[3] >= pool.size[1]
        and pool.size[0] * pool.size[1] <= MOST_PLACES
    )


@dataclass(frozen=True)
class _Survey:
    """What one pass finds in a map (batch, channels, bins, frames).

    Attributes:
        best, place: of each window, as `passes.survey` leaves them.
        mean, variance: of ELU(x), (channels), the latter of n, not n - 1.
    """

    best: Tensor
    place: Tensor
    mean: Tensor
    variance: Tensor


def _computed_together(x: Tensor, norm: nn.BatchNorm2d, size: tuple[int, int], dropout: nn.Dropout | None) -> Tensor:
    size = (int(size[0]), int(size[1]))
    found = _survey(x.detach(), norm.weight.detach(), size)
    _remember(norm, found, x.numel() // x.shape[1])
    rate = dropout.p if dropout is not None and dropout.training else 0.0
    y: Tensor = _Block.apply(x, norm.weight, norm.bias, found, size, norm.eps, rate)  # type: ignore[no-untyped-call]
    return y


def _survey(x: Tensor, weight: Tensor, size: tuple[int, int]) -> _Survey:
    from crnn_bench import passes

    batch, channels, bins, frames = x.shape
    best = _map_of(x, bins // size[0], frames // size[1])
    place = torch.empty_like(best, dtype=torch.uint8)
    sums = np.empty((batch * -(-bins // size[0]), 3, channels), np.float32)
    sign = np.where(weight.numpy() < 0, np.float32(-1), np.float32(1))
    _share(passes.survey, len(sums), _rows(x), sign, size, _rows(best), _rows(place), sums)
    level = weight == 0  # all of a window is the same there, so that the first counts
    if level.any():
        firsts = x[:, level, : best.shape[2] * size[0] : size[0], : best.shape[3] * size[1] : size[1]]
        best[:, level], place[:, level] = firsts, 0
    rows = np.minimum(size[0], bins - np.arange(0, bins, size[0]))
    mean, variance = _moments(sums, np.tile(rows * frames, batch).astype(np.float64)[:, None])
    return _Survey(best, place, torch.from_numpy(mean), torch.from_numpy(variance))


def _moments(sums: NDArray[np.float32], counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of all strips (Chan, Golub & LeVeque 1983); exact even where the mean is large."""
    shift, sum_, squares = sums.astype(np.float64).transpose(1, 0, 2)
    means = shift + sum_ / counts
    mean = (means * counts).sum(axis=0) / counts.sum()
    within = squares - sum_**2 / counts
    return mean, (within + counts * (means - mean) ** 2).sum(axis=0) / counts.sum()


def _remember(norm: Any, found: _Survey, count: int) -> None:
    """Updates the running statistics as BatchNorm2d does."""
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(found.mean.to(norm.running_mean.dtype), norm.momentum)
    unbiased = found.variance * (count / (count - 1))
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)


class _Block(torch.autograd.Function):
    """From the survey to the block's output, and back to the convolution's."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        found: _Survey,
        size: tuple[int, int],
        eps: float,
        rate: float,
    ) -> Tensor:
        from crnn_bench import passes

        mean, deviation = found.mean.float(), (found.variance + eps).rsqrt().float()
        y = torch.empty_like(found.best)
        seeds = torch.randint(2**32, (2,)).tolist() if rate else (0, 0)
        kept = np.float32(1 / (1 - rate))
        dropout = (*map(np.uint32, seeds), np.uint32(rate * 2**32), kept)
        numbers = (each.numpy() for each in (mean, weight.detach() * deviation, bias.detach()))
        _share(
            passes.put_out, y.shape[0] * y.shape[2], _rows(found.best), _rows(found.place), *numbers, dropout, _rows(y)
        )
        ctx.save_for_backward(x, weight, found.best, found.place, mean, deviation)
        ctx.size, ctx.kept = size, kept
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        from crnn_bench import passes

        x, weight, best, place, mean, deviation = ctx.saved_tensors
        slope = slope.to(x.dtype).contiguous(memory_format=torch.channels_last)
        parts = np.empty((slope.shape[0] * slope.shape[2], 2, len(weight)), np.float32)
        numbers = mean.numpy(), deviation.numpy(), ctx.kept
        _share(passes.sum_up, len(parts), _rows(best), _rows(place), _rows(slope), *numbers, parts)
        sums = torch.from_numpy(parts.sum(axis=0, dtype=np.float64))
        by_bias, by_weight = sums.float()
        count = x.numel() / len(weight)
        scale = weight.double() * deviation
        factors = torch.stack([scale * float(ctx.kept), -scale * sums[0] / count, -scale * deviation * sums[1] / count])
        out = torch.empty_like(x)
        strips = x.shape[0] * -(-x.shape[2] // ctx.size[0])
        given = _rows(x), _rows(place), _rows(slope), ctx.size, mean.numpy(), factors.float().numpy()
        _share(passes.hand_back, strips, *given, _rows(out))
        return out, by_weight, by_bias, None, None, None, None


def _map_of(x: Tensor, bins: int, frames: int) -> Tensor:
    """An empty map of as many channels, in channels-last layout."""
    shape = (x.shape[0], x.shape[1], bins, frames)
    return torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)


def _rows(x: Tensor) -> NDArray[Any]:
    """A map as it lies in memory, (batch, bins, frames, channels); bf16 as uint16."""
    rows = x.permute(0, 2, 3, 1)
    array: NDArray[Any] = (rows.view(torch.uint16) if x.dtype == torch.bfloat16 else rows).numpy()
    return array


def _share(compiled: Callable[..., None], strips: int, *arguments: Any) -> None:
    """Carries out a pass, the strips shared out among as many threads as PyTorch has."""
    threads = min(torch.get_num_threads(), strips)
    edges = [strips * number // threads for number in range(threads + 1)]
    others = [_pool(threads).submit(compiled, *arguments, *edges[number : number + 2]) for number in range(1, threads)]
    compiled(*arguments, *edges[:2])
    for other in others:
        other.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="passes")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a fork
