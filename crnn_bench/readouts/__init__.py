"""Readouts: one file each, how the steps of a slice become the one vector that is classified."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Readout(nn.Module, ABC):
    """(batch, steps, n_inputs) to (batch, n_outputs), for any number of steps.

    Subclasses take `(n_inputs, bidirectional)`; where `bidirectional`, the second half of the inputs was read
    backwards.

    Attributes:
        n_outputs: width of the vector.
    """

    def __init__(self, n_inputs: int, bidirectional: bool) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.bidirectional = bidirectional
        self.n_outputs = n_inputs

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, n_inputs) to (batch, n_outputs)."""
