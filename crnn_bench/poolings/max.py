"""Max pooling, the paper's."""

from torch import Tensor, nn

from crnn_bench.poolings import Pooling


class Max(Pooling):
    """The largest of each `size` block: (b, c, f, t) to (b, c, f // size[0], t // size[1])."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(x, self.size)
