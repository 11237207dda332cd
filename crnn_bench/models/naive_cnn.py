"""The naive convolutional network of a report on the Free Music Archive, with and without batch norm."""

from torch import Tensor, nn

from crnn_bench.models import Network, shape_after

CHANNELS = (32, 64)
POOL_SIZE = 4


class NaiveCNN(Network):
    """Two conv layers 3×3, each followed by max pooling, and one fully connected layer.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 1, 128, 94) → (b, 32, 32, 23) → (b, 64, 8, 5) → flatten (b, 2560) → dense (b, n_classes).

    Args:
        batch_norm: after each conv layer, the report's second network.

    The report prints neither channels nor pool sizes: 32 and 64, and 4 (so that the bottleneck stays small), are ours;
    so is the batch norm over frequency in front, without which the plain one learns nothing from decibels.
    """

    def __init__(self, n_bins: int, n_frames: int, n_classes: int, batch_norm: bool = False) -> None:
        super().__init__()
        self.frequency_norm = nn.BatchNorm1d(n_bins)
        blocks, channels = [], 1
        for width in CHANNELS:
            norm = nn.BatchNorm2d(width) if batch_norm else nn.Identity()
            conv = nn.Conv2d(channels, width, 3, padding=1)
            blocks.append(nn.Sequential(conv, norm, nn.ReLU(), nn.MaxPool2d(POOL_SIZE)))
            channels = width
        self.conv = nn.Sequential(*blocks).eval()
        _, width = shape_after(self._maps, n_bins, n_frames, "NaiveCNN", remedy="its pools are fixed")
        self.conv.train()
        self.head = nn.Linear(width, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        return self._maps(self.frequency_norm(x))

    def _maps(self, x: Tensor) -> Tensor:
        maps: Tensor = self.conv(x.unsqueeze(1))
        return maps.flatten(1)
