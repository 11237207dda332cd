"""No pooling over time."""

from torch import Tensor, nn

from crnn_bench.poolings import Pooling


class NoTimePooling(Pooling):
    """Max pooling over frequency alone: (b, c, f, t) to (b, c, f // size[0], t); every frame reaches the GRU.

    The bins must shrink, since they are folded into the GRU's input; what the references doubt is the loss of *time*.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(x, (self.size[0], 1))
