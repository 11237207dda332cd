"""The last state, the paper's."""

import torch
from torch import Tensor

from crnn_bench.readouts import Readout


class Last(Readout):
    """The state that has heard everything: (b, steps, n) to (b, n).

    What was read backwards has heard everything at the first step.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.bidirectional:
            return x[:, -1]
        half = self.n_inputs // 2
        return torch.cat([x[:, -1, :half], x[:, 0, half:]], dim=1)
