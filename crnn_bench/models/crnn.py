"""The convolutional-recurrent network of Nasrullah & Zhao (IJCNN 2019, arXiv 1901.04555)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crnn_bench.errors import BenchError
from crnn_bench.models import Network, shape_after
from crnn_bench.plugins import refuse_below
from crnn_bench.poolings import Pooling
from crnn_bench.poolings.max import Max
from crnn_bench.readouts import Readout
from crnn_bench.readouts.last import Last
from crnn_bench.recurrences import Recurrence
from crnn_bench.recurrences.gru import Gru
from crnn_bench.recurrences.none import NoRecurrence


class CRNN(Network):
    """Batch norm over frequency, conv blocks, GRUs; 394,516 numbers with 20 classes, running statistics included.

    Shapes at 3 s (94 frames of 128 bins), batch b:
        (b, 1, 128, 94) → (b, 64, 64, 47) → (b, 128, 16, 23) → (b, 128, 4, 11) → (b, 128, 1, 5)
        → permute and reshape (b, 5, 128) → GRU (b, 5, 32) → GRU, last state (b, 32) → dense (b, n_classes).

    Args:
        conv_channels: of each conv block; its length is the depth.
        pool_sizes: (frequency, time) factors after each block.
        convs_per_block: 3 × 3 convolutions in each block; one each where it is left out.
        pooling: `max`, `average`, `mixed`, `attention`, `strided`, `dilated`, `none`, or a class path of your own.
        recurrence: `gru`, `lstm`, `elman`, `none`, or a class path; what it says goes to the readout.
        recurrent_width, recurrent_layers, bidirectional: of the recurrence.
        readout: `last`, `mean`, `attention`, `statistics`, or a class path; it makes the bottleneck of all steps.
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
        convs_per_block: tuple[int, ...] | None = None,
        pooling: type[Pooling] = Max,
        recurrence: type[Recurrence] = Gru,
        recurrent_width: int = 32,
        recurrent_layers: int = 2,
        bidirectional: bool = False,
        readout: type[Readout] = Last,
        conv_dropout: float = 0.1,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        convs = (1,) * len(conv_channels) if convs_per_block is None else convs_per_block
        check_blocks(name, conv_channels, pool_sizes=pool_sizes, convs_per_block=convs)
        check_rates(name, conv_dropout=conv_dropout, dropout=dropout)
        self.recurrent_width, self.recurrent_layers = recurrent_width, recurrent_layers
        refuse_below(self, recurrent_width=1, recurrent_layers=1)
        if issubclass(recurrence, NoRecurrence) and issubclass(readout, Last):
            message = f"{name}: without a recurrence, the last step is all that would be heard"
            raise BenchError(f"{message}; choose the readout mean, attention or statistics", argument="readout")
        self.frequency_norm = nn.BatchNorm1d(n_bins)
        self.conv = _conv_blocks(conv_channels, convs, pool_sizes, pooling, conv_dropout)
        channels, bins = map_after(self.conv, n_bins, n_frames, name)
        self.recurrence = recurrence(channels * bins, recurrent_width, recurrent_layers, bidirectional)
        self.readout = readout(self.recurrence.n_outputs, self.recurrence.bidirectional)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.readout.n_outputs, n_classes))
        self.apply(initialise_as_keras)

    def embed(self, x: Tensor) -> Tensor:
        x = self.frequency_norm(x)
        x = self.conv(x.unsqueeze(1))
        x = x.permute(0, 3, 1, 2).flatten(2)
        bottleneck: Tensor = self.readout(self.recurrence(x))
        return bottleneck


def _conv_blocks(
    conv_channels: tuple[int, ...],
    convs_per_block: tuple[int, ...],
    pool_sizes: tuple[tuple[int, int], ...],
    pooling: type[Pooling],
    dropout: float,
) -> nn.Sequential:
    """Blocks of [conv → ELU → batch norm] × convs → pooling → dropout."""
    blocks, channels, stride = [], 1, 1
    for width, convs, size in zip(conv_channels, convs_per_block, pool_sizes, strict=True):
        layers: list[nn.Module] = []
        for _ in range(convs):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ELU(), nn.BatchNorm2d(width)]
            channels = width
        blocks.append(nn.Sequential(*layers, pooling(width, size, stride), nn.Dropout(dropout)))
        stride *= size[1]
    return nn.Sequential(*blocks)


def map_after(conv: nn.Module, n_bins: int, n_frames: int, name: str) -> tuple[int, int]:
    """(channels, bins) of the map that convolutions make of a slice; refuses one that they shrink to nothing."""
    conv.eval()
    _, channels, bins, _ = shape_after(lambda x: conv(x.unsqueeze(1)), n_bins, n_frames, name)
    conv.train()
    return channels, bins


def check_blocks(name: str, conv_channels: Sequence[int], **per_block: Sequence[Any]) -> None:
    """Refuses a network of no blocks, arguments that are not one a block, and numbers below 1."""
    for argument, values in per_block.items():
        if len(values) != len(conv_channels):
            message = f"{name}: {len(conv_channels)} conv_channels but {len(values)} {argument}; give one each"
            raise BenchError(message, argument=argument)
    if not conv_channels:
        raise BenchError(f"{name}: 0 conv_channels but at least one is needed", argument="conv_channels")
    for argument, values in {"conv_channels": conv_channels, **per_block}.items():
        if (torch.tensor(values) < 1).any():
            raise BenchError(f"{name}: {argument} must be at least 1, got {values}", argument=argument)


def check_rates(name: str, **rates: float) -> None:
    """Refuses rates of dropout that leave nothing, or are none."""
    for argument, rate in rates.items():
        if not 0 <= rate < 1:
            raise BenchError(f"{name}: {argument} must be at least 0 and below 1, got {rate}", argument=argument)


def initialise_as_keras(module: nn.Module) -> None:
    """Glorot-uniform weights, orthogonal recurrent weights, zero biases: the paper's defaults, not PyTorch's.

    Each gate is drawn by itself. An LSTM's forget gate starts with a bias of 1 (Jozefowicz et al. 2015), as in Keras.
    """
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.RNNBase):
        for name, weights in module.named_parameters():
            for number, gate in enumerate(weights.data.chunk(len(weights) // module.hidden_size)):
                if "bias" in name:
                    forget = isinstance(module, nn.LSTM) and number == 1 and "bias_ih" in name
                    nn.init.constant_(gate, float(forget))
                elif "weight_hh" in name:
                    nn.init.orthogonal_(gate)
                else:
                    nn.init.xavier_uniform_(gate)
