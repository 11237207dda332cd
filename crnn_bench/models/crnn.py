"""The convolutional-recurrent network of Nasrullah & Zhao (IJCNN 2019, arXiv 1901.04555)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crnn_bench.errors import BenchError
from crnn_bench.models import Network
from crnn_bench.poolings import Pooling
from crnn_bench.poolings.max import Max


class CRNN(Network):
    """Batch norm over frequency, conv blocks, GRUs; 394,516 numbers with 20 classes, running statistics included.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 1, 128, 94) → (b, 64, 64, 47) → (b, 128, 16, 23) → (b, 128, 4, 11) → (b, 128, 1, 5)
        → permute and reshape (b, 5, 128) → GRU (b, 5, 32) → GRU, last state (b, 32) → dense (b, n_classes).

    Args:
        conv_channels: of each conv layer; its length is the depth.
        pool_sizes: (frequency, time) factors after each conv layer.
        pooling: `max`, `average`, `strided`, `none`, or a class path of your own.
        gru_width, gru_layers: the recurrent part; the bottleneck is its last state.
        conv_dropout, dropout: after each pooling, and before the dense layer.

    Batch norm keeps PyTorch's momentum 0.1 and epsilon 1e-5 (the paper's Keras: 0.01 and 1e-3): with fewer steps an
    epoch than on artist20, Keras's slow statistics lag behind the weights.
    """

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        conv_channels: tuple[int, ...] = (64, 128, 128, 128),
        pool_sizes: tuple[tuple[int, int], ...] = ((2, 2), (4, 2), (4, 2), (4, 2)),
        pooling: type[Pooling] = Max,
        gru_width: int = 32,
        gru_layers: int = 2,
        conv_dropout: float = 0.1,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if len(conv_channels) != len(pool_sizes) or not conv_channels:
            raise BenchError(
                f"CRNN: {len(conv_channels)} conv_channels but {len(pool_sizes)} pool_sizes; give one each"
            )
        self.frequency_norm = nn.BatchNorm1d(n_bins)
        blocks, channels = [], 1
        for width, size in zip(conv_channels, pool_sizes, strict=True):
            conv = nn.Conv2d(channels, width, 3, padding=1)
            pool = pooling(width, size)
            blocks.append(nn.Sequential(conv, nn.ELU(), nn.BatchNorm2d(width), pool, nn.Dropout(conv_dropout)))
            channels = width
        self.conv = nn.Sequential(*blocks)
        enough = max(n_frames, math.prod(frames for _, frames in pool_sizes))
        self.gru = nn.GRU(channels * self._bins_left(n_bins, n_frames, enough), gru_width, gru_layers, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(gru_width, n_classes))
        self.apply(_initialise_as_keras)

    def embed(self, x: Tensor) -> Tensor:
        x = self.frequency_norm(x)
        x = self.conv(x.unsqueeze(1))
        x = x.permute(0, 3, 1, 2).flatten(2)
        with torch.autocast(x.device.type, enabled=False):
            states, _ = self.gru(x.float())
        bottleneck: Tensor = states[:, -1]
        return bottleneck

    @torch.no_grad()
    def _bins_left(self, n_bins: int, n_frames: int, enough: int) -> int:
        """Bins that remain after all pooling; refuses an input that a pooling would shrink to nothing."""
        self.eval()
        for least in range(n_frames, enough + 1):
            try:
                shape = self.conv(torch.zeros(1, 1, n_bins, least)).shape
            except RuntimeError:
                continue
            if least > n_frames:
                raise BenchError(
                    f"CRNN: a slice of {n_frames} frames is too short for its pooling; give at least {least}"
                )
            self.train()
            return int(shape[2])
        raise BenchError(f"CRNN: {n_bins} bins are too few for its pooling; give fewer or smaller pool_sizes")


def _initialise_as_keras(module: nn.Module) -> None:
    """Glorot-uniform weights, orthogonal recurrent weights, zero biases: the paper's defaults, not PyTorch's."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.GRU):
        for name, weights in module.named_parameters():
            gates: Sequence[Tensor] = weights.data.chunk(3)
            for gate in gates:
                if "bias" in name:
                    nn.init.zeros_(gate)
                elif "weight_hh" in name:
                    nn.init.orthogonal_(gate)
                else:
                    nn.init.xavier_uniform_(gate)
