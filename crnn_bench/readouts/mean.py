"""The mean over time."""

from torch import Tensor

from crnn_bench.readouts import Readout


class Mean(Readout):
    """Each step counts the same: (b, steps, n) to (b, n)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)
