"""The CRNN with convolutions over time alone that Nasrullah & Zhao tried before the paper (their released code)."""

from torch import Tensor, nn

from crnn_bench.models import Network, shape_after
from crnn_bench.models.crnn import check_blocks, initialise_as_keras
from crnn_bench.plugins import refuse_below
from crnn_bench.recurrences.gru import Gru


class CRNN1D(Network):
    """Convolutions over time that take the bins as channels, without padding; then GRUs.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 128, 94) → (b, 64, 45) → (b, 128, 20) → (b, 128, 8)
        → transpose (b, 8, 128) → GRU (b, 8, 64) → GRU, last state (b, 64) → dense (b, n_classes).

    Args:
        conv_channels: of each [conv → ReLU → max pooling]; its length is the depth.
        kernel_size: of each convolution, in frames; a slice has to be 36 frames long with the defaults.
        pool_size: factor of each pooling.
        recurrent_width, recurrent_layers: of the GRUs.
        frequency_norm: whether batch norm over frequency comes first. The released code has none, so that decibels
            down to -80 enter the first convolution as they are; ours has it, as the paper's own network does.
    """

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        conv_channels: tuple[int, ...] = (64, 128, 128),
        kernel_size: int = 5,
        pool_size: int = 2,
        recurrent_width: int = 64,
        recurrent_layers: int = 2,
        frequency_norm: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.pool_size = kernel_size, pool_size
        self.recurrent_width, self.recurrent_layers = recurrent_width, recurrent_layers
        refuse_below(self, kernel_size=1, pool_size=1, recurrent_width=1, recurrent_layers=1)
        check_blocks("CRNN1D", conv_channels)
        self.frequency_norm = nn.BatchNorm1d(n_bins) if frequency_norm else nn.Identity()
        layers: list[nn.Module] = []
        for before, width in zip((n_bins, *conv_channels), conv_channels, strict=False):
            layers += [nn.Conv1d(before, width, kernel_size), nn.ReLU(), nn.MaxPool1d(pool_size)]
        self.conv = nn.Sequential(*layers)
        shape_after(self.conv, n_bins, n_frames, "CRNN1D")
        self.recurrence = Gru(conv_channels[-1], recurrent_width, recurrent_layers, bidirectional=False)
        self.head = nn.Linear(recurrent_width, n_classes)
        self.apply(initialise_as_keras)

    def embed(self, x: Tensor) -> Tensor:
        x = self.frequency_norm(x)
        x = self.conv(x).transpose(1, 2)
        bottleneck: Tensor = self.recurrence(x)[:, -1]
        return bottleneck
