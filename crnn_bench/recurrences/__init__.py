"""Recurrences: one file each, what carries one step of a slice on to the next."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Recurrence(nn.Module, ABC):
    """Reads steps in their order: (batch, steps, n_inputs) to (batch, steps, n_outputs), in fp32 whatever came.

    Subclasses take `(n_inputs, width, n_layers, bidirectional)`.

    Attributes:
        n_outputs: width of what comes out.
        bidirectional: whether its second half was read backwards.
    """

    def __init__(self, n_inputs: int, width: int, n_layers: int, bidirectional: bool) -> None:
        super().__init__()
        self.n_outputs = 2 * width if bidirectional else width
        self.bidirectional = bidirectional

    def forward(self, x: Tensor) -> Tensor:
        # Outside autocast: rounding to bf16 adds up from step to step, and saves nothing in layers so narrow.
        with torch.autocast(x.device.type, enabled=False):
            return self.read(x.float())

    @abstractmethod
    def read(self, x: Tensor) -> Tensor:
        """The same for fp32 steps, outside autocast."""


class RecurrentLayers(Recurrence, ABC):
    """Layers of PyTorch's, each of `width`, or of twice as much where they are read in both directions.

    A subclass says which by `layer`.
    """

    layer: type[nn.GRU] | type[nn.LSTM] | type[nn.RNN]

    def __init__(self, n_inputs: int, width: int, n_layers: int, bidirectional: bool) -> None:
        super().__init__(n_inputs, width, n_layers, bidirectional)
        self.layers = self.layer(n_inputs, width, num_layers=n_layers, bidirectional=bidirectional, batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        states: Tensor = self.layers(x)[0]
        return states
