"""Average pooling."""

from torch import Tensor, nn

from crnn_bench.poolings import Pooling


class Average(Pooling):
    """The mean of each `size` block: (b, c, f, t) to (b, c, f // size[0], t // size[1])."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, self.size)
