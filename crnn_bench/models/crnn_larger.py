"""The larger CRNN that Nasrullah & Zhao tried before the paper (their released code, `CRNN2DLarger`)."""

from crnn_bench.models.crnn import CRNN
from crnn_bench.poolings import Pooling
from crnn_bench.poolings.max import Max


class CRNNLarger(CRNN):
    """The CRNN with a fifth block, more channels, and less pooling over time: 8 frames a step instead of 16.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 1, 128, 94) → (b, 64, 64, 47) → (b, 128, 32, 23) → (b, 256, 16, 11) → (b, 512, 4, 11) → (b, 512, 1, 11)
        → permute and reshape (b, 11, 512) → GRU (b, 11, 32) → GRU, last state (b, 32) → dense (b, n_classes).

    Args:
        conv_channels, pool_sizes, pooling: of the conv blocks, as in `CRNN`.
        conv_dropout, dropout: after each pooling, and before the dense layer.

    `CRNN` with these arguments is the same, and lets its recurrence and readout be swapped besides.
    """

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        conv_channels: tuple[int, ...] = (64, 128, 256, 512, 512),
        pool_sizes: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (2, 2), (4, 1), (4, 1)),
        pooling: type[Pooling] = Max,
        conv_dropout: float = 0.1,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(
            n_bins,
            n_frames,
            n_classes,
            conv_channels=conv_channels,
            pool_sizes=pool_sizes,
            pooling=pooling,
            conv_dropout=conv_dropout,
            dropout=dropout,
        )
