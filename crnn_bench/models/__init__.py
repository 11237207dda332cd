"""Networks: one file each, read from top to bottom."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """A PyTorch network from a batch of slices to logits, with a bottleneck on the way.

    A subclass's constructor takes `n_bins`, `n_frames` and `n_classes` (the data gives them), then its own parameters,
    which are its YAML. It sets `head` and defines `embed`.
    """

    given_by_data = ("n_bins", "n_frames", "n_classes")
    head: nn.Module

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """(batch, n_bins, n_frames) to the bottleneck (batch, width)."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_bins, n_frames) to logits (batch, n_classes)."""
        logits: Tensor = self.head(self.embed(x))
        return logits
