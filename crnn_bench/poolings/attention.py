"""Pooling by attention."""

from torch import Tensor, nn

from crnn_bench.poolings import Pooling


class Attention(Pooling):
    """A mean of each `size` block whose weights are learned: (b, c, f, t) to (b, c, f // size[0], t // size[1]).

    A 1 × 1 convolution scores each place, and softmax within the block makes weights of the scores: local importance
    pooling (Gao, Wang & Wu 2019), with one score a place for all channels instead of one each.
    """

    def __init__(self, channels: int, size: tuple[int, int], stride_so_far: int = 1) -> None:
        super().__init__(channels, size, stride_so_far)
        self.score = nn.Conv2d(channels, 1, 1, bias=False)  # softmax would not notice a bias

    def forward(self, x: Tensor) -> Tensor:
        blocks = self._blocks(x)
        weights = self._blocks(self.score(x)).float().softmax(dim=-1)
        return (weights * blocks).sum(dim=-1)

    def _blocks(self, x: Tensor) -> Tensor:
        """(b, c, f, t) to (b, c, f // size[0], t // size[1], places of a block); what fills no block is left out."""
        blocks = x.unfold(2, self.size[0], self.size[0]).unfold(3, self.size[1], self.size[1])
        return blocks.flatten(-2)
