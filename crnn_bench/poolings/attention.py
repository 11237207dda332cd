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
        bins, frames = (length // factor * factor for length, factor in zip(x.shape[2:], self.size, strict=True))
        x = x[:, :, :bins, :frames]  # what fills no block is left out
        score = self.score(x).float()
        greatest = nn.functional.max_pool2d(score, self.size)
        for axis, factor in zip((2, 3), self.size, strict=True):
            greatest = greatest.repeat_interleave(factor, dim=axis)
        weight = (score - greatest).exp()  # at most 1, and 1 somewhere in each block
        summed = nn.functional.avg_pool2d(weight * x, self.size)
        return summed / nn.functional.avg_pool2d(weight, self.size)
