"""The larger CRNN that Nasrullah & Zhao tried before the paper (their released code, `CRNN2DLarger`)."""

from crnn_bench.models.crnn import CRNN
from crnn_bench.poolings import Pooling
from crnn_bench.poolings.max import Max
from crnn_bench.readouts import Readout
from crnn_bench.readouts.last import Last
from crnn_bench.recurrences import Recurrence
from crnn_bench.recurrences.gru import Gru


class CRNNLarger(CRNN):
    """The CRNN with a fifth block, more channels, and less pooling over time: 8 frames a step instead of 16.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 1, 128, 94) → (b, 64, 64, 47) → (b, 128, 32, 23) → (b, 256, 16, 11) → (b, 512, 4, 11) → (b, 512, 1, 11)
        → permute and reshape (b, 11, 512) → GRU (b, 11, 32) → GRU, last state (b, 32) → dense (b, n_classes).

    Args:
        conv_channels, pool_sizes, pooling: of the conv blocks, as in `CRNN`.
        recurrence, recurrent_width, recurrent_layers, bidirectional, readout: what reads their steps, as in `CRNN`.
        conv_dropout, dropout: after each pooling, and before the dense layer.
    """

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        conv_channels: tuple[int, ...] = (64, 128, 256, 512, 512),
        pool_sizes: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (2, 2), (4, 1), (4, 1)),
        pooling: type[Pooling] = Max,
        recurrence: type[Recurrence] = Gru,
        recurrent_width: int = 32,
        recurrent_layers: int = 2,
        bidirectional: bool = False,
        readout: type[Readout] = Last,
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
            recurrence=recurrence,
            recurrent_width=recurrent_width,
            recurrent_layers=recurrent_layers,
            bidirectional=bidirectional,
            readout=readout,
            conv_dropout=conv_dropout,
            dropout=dropout,
        )
