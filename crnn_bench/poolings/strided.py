"""Learned pooling by a strided convolution."""

from torch import Tensor, nn

from crnn_bench.poolings import Pooling


class Strided(Pooling):
    """A convolution as wide as its stride (Springenberg et al. 2015).

    (b, c, f, t) to (b, c, f // size[0], t // size[1]).
    """

    def __init__(self, channels: int, size: tuple[int, int], stride_so_far: int = 1) -> None:
        super().__init__(channels, size, stride_so_far)
        self.conv = nn.Conv2d(channels, channels, size, stride=size)

    def forward(self, x: Tensor) -> Tensor:
        shrunk: Tensor = self.conv(x)
        return shrunk
