"""No recurrence."""

from torch import Tensor

from crnn_bench.recurrences import Recurrence


class NoRecurrence(Recurrence):
    """Hands the steps on as they are: (b, steps, n_inputs) to the same.

    Width, number of layers and direction say nothing to it. No step knows of another, so the readout has to hear
    them all.
    """

    def __init__(self, n_inputs: int, width: int, n_layers: int, bidirectional: bool) -> None:
        super().__init__(n_inputs, width, n_layers, bidirectional)
        self.n_outputs = n_inputs
        self.bidirectional = False

    def read(self, x: Tensor) -> Tensor:
        return x
