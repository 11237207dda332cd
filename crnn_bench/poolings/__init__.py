"""Poolings: one file each, named by the word that swaps them in from the YAML."""

from torch import nn


class Pooling(nn.Module):
    """Shrinks a map (batch, channels, bins, frames) by `size`, or keeps the frames.

    Subclasses take `(channels, size)`, `size` being the factors in (frequency, time).
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.channels = channels
        self.size = size
