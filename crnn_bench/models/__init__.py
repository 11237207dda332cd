"""Networks: one file each, read from top to bottom."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from crnn_bench.errors import BenchError
from crnn_bench.features import Feature

MOST_FRAMES_TRIED = 4096  # in the search for the least length that works


class TooShortError(BenchError):
    """A slice that a network's poolings would shrink to nothing.

    Attributes:
        least: frames of the shortest slice that works.
    """

    def __init__(self, name: str, n_frames: int, least: int) -> None:
        super().__init__(f"{name}: a slice of {n_frames} frames is too short; give at least {least}")
        self.least = least


class Network(nn.Module, ABC):
    """A PyTorch network from a batch of slices to logits, with a bottleneck on the way.

    A subclass's constructor takes `n_bins`, `n_frames` and `n_classes` (the data gives them), then its own parameters,
    which are its YAML. It sets `head` and defines `embed`.
    """

    given_by_data = ("n_bins", "n_frames", "n_classes")
    head: nn.Module
    frozen: tuple[nn.Module, ...] = ()

    @classmethod
    def own_features(cls, **arguments: Any) -> Feature | None:
        """The features that a network with these arguments needs; `None` where it takes the experiment's."""
        return None

    @classmethod
    def own_weights(cls, **arguments: Any) -> str | None:
        """Name or folder of the trained weights that a network with these arguments loads, if any."""
        return None

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """(batch, n_bins, n_frames) to the bottleneck (batch, width)."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_bins, n_frames) to logits (batch, n_classes)."""
        logits: Tensor = self.head(self.embed(x))
        return logits

    def freeze(self, modules: Iterable[nn.Module]) -> None:
        """Lets modules learn no more: no gradients, and evaluation mode for good, lest their batch norms drift."""
        self.frozen = (*self.frozen, *modules)
        for module in self.frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switches to training mode, but for what is frozen."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self


@torch.no_grad()
def shape_after(
    layers: Callable[[Tensor], Tensor], n_bins: int, n_frames: int, name: str, remedy: str = "give smaller pool_sizes"
) -> tuple[int, ...]:
    """Shape of what layers make of one slice; refuses a slice that they would shrink to nothing.

    Args:
        layers: take (1, n_bins, frames); a module among them should be in evaluation mode.
        n_bins, n_frames: of the slice.
        name: of the network, for the message.
        remedy: what to do about too few bins.

    Raises:
        TooShortError: with the least length that works.
        BenchError: the slice has too few bins.
    """
    fits = _shape(layers, n_bins, n_frames)
    if fits:
        return fits
    longest = max(1, n_frames)
    while longest < MOST_FRAMES_TRIED and not _shape(layers, n_bins, longest):
        longest *= 2
    if not _shape(layers, n_bins, longest):
        raise BenchError(f"{name}: {n_bins} bins are too few; {remedy}, or take features with more bins")
    too_short = n_frames
    while longest - too_short > 1:
        middle = (longest + too_short) // 2
        too_short, longest = (too_short, middle) if _shape(layers, n_bins, middle) else (middle, longest)
    raise TooShortError(name, n_frames, longest)


def _shape(layers: Callable[[Tensor], Tensor], n_bins: int, n_frames: int) -> tuple[int, ...]:
    """Of the output, or () where nothing comes out."""
    try:
        out = layers(torch.zeros(1, n_bins, n_frames))
    except RuntimeError:
        return ()
    return tuple(out.shape) if out.numel() else ()
