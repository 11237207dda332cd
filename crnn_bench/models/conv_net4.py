"""The four-layer convolutional network of a GTZAN report, for genre from pictures of mel spectrograms."""

from torch import Tensor, nn

from crnn_bench.models import Network, shape_after

CHANNELS = (64, 128, 256, 512)
POOL_SIZES = (2, 2, 4, 4)
DENSE = (1024, 256)


class ConvNet4(Network):
    """Four conv layers 3×3, ReLU, max pools 2, 2, 4, 4; dropout; dense 1024, 256, n_classes.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 1, 128, 94) → (b, 64, 64, 47) → (b, 128, 32, 23) → (b, 256, 8, 5) → (b, 512, 2, 1)
        → flatten (b, 1024) → (b, 1024) → (b, 256) → dense (b, n_classes).

    Args:
        dropout: before the first dense layer; the report lists it without saying where.

    Departures: the report prints 17,824 inputs of its first dense layer, which 512 channels cannot give (it is no
    multiple of 512), so ours follow from the slice; it prints no activations, ours are ReLU; it fed pictures, so
    decibels get a batch norm over frequency first.
    """

    def __init__(self, n_bins: int, n_frames: int, n_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.frequency_norm = nn.BatchNorm1d(n_bins)
        blocks, channels = [], 1
        for width, size in zip(CHANNELS, POOL_SIZES, strict=True):
            blocks.append(nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(size)))
            channels = width
        self.conv = nn.Sequential(*blocks)
        _, n_inputs = shape_after(self._maps, n_bins, n_frames, "ConvNet4", remedy="its pools are fixed")
        self.dense = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(n_inputs, DENSE[0]), nn.ReLU(), nn.Linear(*DENSE), nn.ReLU()
        )
        self.head = nn.Linear(DENSE[1], n_classes)

    def embed(self, x: Tensor) -> Tensor:
        bottleneck: Tensor = self.dense(self._maps(self.frequency_norm(x)))
        return bottleneck

    def _maps(self, x: Tensor) -> Tensor:
        maps: Tensor = self.conv(x.unsqueeze(1))
        return maps.flatten(1)
