"""The recurrent network without convolutions that Nasrullah & Zhao tried before the paper (their released code)."""

from torch import Tensor, nn

from crnn_bench.models import Network
from crnn_bench.models.crnn import initialise_as_keras
from crnn_bench.plugins import refuse_below
from crnn_bench.recurrences.lstm import Lstm


class RNN(Network):
    """LSTMs on the frames as they are.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 128, 94) → transpose (b, 94, 128) → LSTM (b, 94, 64) → LSTM, last state (b, 64) → dense (b, n_classes).

    Args:
        recurrent_width, recurrent_layers: of the LSTMs.
        frequency_norm: whether batch norm over frequency comes first. The released code has none, so that decibels
            down to -80 drive every gate to an end of its range; ours has it, as the paper's own network does.
    """

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        recurrent_width: int = 64,
        recurrent_layers: int = 2,
        frequency_norm: bool = True,
    ) -> None:
        super().__init__()
        self.recurrent_width, self.recurrent_layers = recurrent_width, recurrent_layers
        refuse_below(self, recurrent_width=1, recurrent_layers=1)
        self.frequency_norm = nn.BatchNorm1d(n_bins) if frequency_norm else nn.Identity()
        self.recurrence = Lstm(n_bins, recurrent_width, recurrent_layers, bidirectional=False)
        self.head = nn.Linear(recurrent_width, n_classes)
        self.apply(initialise_as_keras)

    def embed(self, x: Tensor) -> Tensor:
        x = self.frequency_norm(x)
        bottleneck: Tensor = self.recurrence(x.transpose(1, 2))[:, -1]
        return bottleneck
