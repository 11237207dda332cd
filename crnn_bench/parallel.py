"""One training on several devices as on one: each process has its share of a batch, and the numbers are the whole's.

The mean of a batch's loss, batch norm's statistics and the means over an epoch are of all shares together.
"""

import mmap
from collections.abc import Iterable, Iterator
from functools import cache
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from crnn_bench.errors import BenchError


def check(devices: int) -> None:
    """Refuses more devices than there are; processors serve any number of processes.

    Raises:
        BenchError: says how many there are.
    """
    there = torch.accelerator.device_count() if torch.accelerator.is_available() else devices
    if devices > there:
        raise BenchError(f"trainer.devices is {devices}, but this machine has {there}; set trainer.devices={there}")


def n_shares() -> int:
    """How many processes share a batch; 1 where it is not shared."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def total(own: Tensor) -> Tensor:
    """The sum of all processes' tensors; gradients flow back through it to all of them."""
    summed: Tensor = _Total.apply(own) if n_shares() > 1 else own  # type: ignore[no-untyped-call]
    return summed


class _Total(torch.autograd.Function):
    """Each process's part of a sum has the gradient that all of them together give the sum."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        summed = own.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Total.forward(ctx, gradient)


def gathered(own: Tensor) -> Tensor:
    """All processes' tensors, (processes, …)."""
    parts = [torch.empty_like(own) for _ in range(n_shares())]
    if len(parts) == 1:
        return own[None]
    distributed.all_gather(parts, own)
    return torch.stack(parts)


class Shares:
    """One process's share of each batch: every n-th of its items, so that shares differ by one item at most.

    Args:
        batches: lists of items.
        own, of: which share, of how many.
    """

    def __init__(self, batches: Iterable[list[Any]], own: int, of: int) -> None:
        self.batches, self.own, self.of = batches, own, of

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[Any]]:
        return (items[self.own :: self.of] for items in self.batches)


class SharedBatchNorm(_BatchNorm):
    """Batch norm over the shares of all processes; alone, or in evaluation, it is the plain one.

    `nn.SyncBatchNorm` refuses processors.

    Input and output (batch, channels, …); a share may be empty.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """Computes in fp32, answers in the input's number format."""
        if not self.training or n_shares() == 1:
            return super().forward(input)
        x, over = input.float(), [0, *range(2, input.ndim)]
        count = total(x.new_tensor(x.numel() / x.shape[1] if len(x) else 0))
        shape = (1, -1, *(1 for _ in over[1:]))
        mean = total(x.sum(over)) / count
        centred = x - mean.view(shape)
        variance = total(centred.square().sum(over)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def share_batch_norms(network: nn.Module) -> None:
    """Makes batch norms shared ones; parameters, buffers and their names stay, and so does what is frozen."""
    for module in network.modules():
        frozen = any(not parameter.requires_grad for parameter in module.parameters(recurse=False))
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and not frozen:
            module.__class__ = SharedBatchNorm  # type: ignore[assignment]


@cache
def _opened(path: str) -> "np.memmap[Any, Any]":
    opened = np.memmap(path, np.uint8, "r")
    if hasattr(mmap, "MADV_RANDOM"):
        opened._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]  # such a process does nothing but train
    return opened


def _open(path: str, first: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    length = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return _opened(path)[first : first + length].view(dtype).reshape(shape)


def _by_name(array: "np.memmap[Any, Any]") -> tuple[Any, ...]:
    """How a mapped array is sent to another process: as the file's name and the place in it, not what is there."""
    mapped = getattr(array, "_mmap", None)
    if mapped is None or not array.filename or not array.flags.c_contiguous:
        return np.array, (array.tolist(), array.dtype.str)
    start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY  # of the map
    first = start + array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    return _open, (str(array.filename), first, array.dtype.str, array.shape)


ForkingPickler.register(np.memmap, _by_name)
