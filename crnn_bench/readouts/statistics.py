"""Mean and deviation over time."""

import torch
from torch import Tensor

from crnn_bench.readouts import Readout

LEAST_VARIANCE = 1e-10  # below, the slope of the square root has no bound


class Statistics(Readout):
    """Mean and standard deviation over time, as in x-vectors (Snyder et al. 2018): (b, steps, n) to (b, 2 · n).

    The deviation is the population's, so that a single step has one: 1e-5, the least that is given.
    """

    def __init__(self, n_inputs: int, bidirectional: bool) -> None:
        super().__init__(n_inputs, bidirectional)
        self.n_outputs = 2 * n_inputs

    def forward(self, x: Tensor) -> Tensor:
        variance = x.var(dim=1, correction=0)
        return torch.cat([x.mean(dim=1), variance.clamp(min=LEAST_VARIANCE).sqrt()], dim=1)
