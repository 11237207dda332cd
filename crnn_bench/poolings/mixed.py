"""Pooling between max and average."""

import torch
from torch import Tensor, nn

from crnn_bench.poolings import Pooling


class Mixed(Pooling):
    """a · max + (1 - a) · average of each `size` block: (b, c, f, t) to (b, c, f // size[0], t // size[1]).

    One a in (0, 1) is learned for the layer, from 1/2 on (Lee, Gallagher & Tu 2016).
    """

    def __init__(self, channels: int, size: tuple[int, int], stride_so_far: int = 1) -> None:
        super().__init__(channels, size, stride_so_far)
        self.mix = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        largest = nn.functional.max_pool2d(x, self.size)
        mean = nn.functional.avg_pool2d(x, self.size)
        return mean + self.mix.sigmoid() * (largest - mean)
