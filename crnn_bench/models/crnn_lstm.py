"""The convolutional-recurrent network of a course project on genres (GTZAN), known by its slides alone."""

from torch import Tensor, nn

from crnn_bench.models import Network
from crnn_bench.models.crnn import check_blocks, check_rates, initialise_as_keras, map_after
from crnn_bench.plugins import refuse_below
from crnn_bench.recurrences.lstm import Lstm


class CRNNLSTM(Network):
    """Five convolutions, five max poolings, an LSTM and two dense layers.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 1, 128, 94) → (b, 32, 64, 47) → (b, 64, 32, 23) → (b, 64, 16, 11) → (b, 128, 8, 5) → (b, 128, 4, 2)
        → permute and reshape (b, 2, 512) → LSTM, last state (b, 64) → dense (b, 64) → dense (b, n_classes).

    The slides print the kinds of layers and their number. Ours is the rest: channels, widths, 3 × 3 convolutions with
    ReLU, pooling by 2, dropout, and the batch norm over frequency, without which decibels down to -80 would enter.

    Args:
        conv_channels: of each [conv → ReLU → max pooling].
        pool_sizes: (frequency, time) factors; the defaults take 32 bins and 32 frames or more.
        recurrent_width: of the LSTM.
        dense_width: of the first dense layer, the bottleneck.
        dropout: before the last dense layer.
    """

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        conv_channels: tuple[int, ...] = (32, 64, 64, 128, 128),
        pool_sizes: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (2, 2), (2, 2), (2, 2)),
        recurrent_width: int = 64,
        dense_width: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.recurrent_width, self.dense_width = recurrent_width, dense_width
        refuse_below(self, recurrent_width=1, dense_width=1)
        check_blocks("CRNNLSTM", conv_channels, pool_sizes=pool_sizes)
        check_rates("CRNNLSTM", dropout=dropout)
        self.frequency_norm = nn.BatchNorm1d(n_bins)
        layers: list[nn.Module] = []
        for before, width, size in zip((1, *conv_channels), conv_channels, pool_sizes, strict=False):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(size)]
        self.conv = nn.Sequential(*layers)
        channels, bins = map_after(self.conv, n_bins, n_frames, "CRNNLSTM")
        self.recurrence = Lstm(channels * bins, recurrent_width, 1, bidirectional=False)
        self.dense = nn.Sequential(nn.Linear(recurrent_width, dense_width), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(dense_width, n_classes))
        self.apply(initialise_as_keras)

    def embed(self, x: Tensor) -> Tensor:
        x = self.frequency_norm(x)
        x = self.conv(x.unsqueeze(1))
        x = x.permute(0, 3, 1, 2).flatten(2)
        bottleneck: Tensor = self.dense(self.recurrence(x)[:, -1])
        return bottleneck
