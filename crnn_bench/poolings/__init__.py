"""Poolings: one file each, named by the word that swaps them in from the YAML."""

from torch import nn


class Pooling(nn.Module):
    """Shrinks a map (batch, channels, bins, frames) by `size`, or keeps the frames.

    Subclasses take `(channels, size, stride_so_far)`: `size` are the factors in (frequency, time), `stride_so_far` is
    the product of the time factors of the poolings before it, which matters to those that keep the frames.
    """

    def __init__(self, channels: int, size: tuple[int, int], stride_so_far: int = 1) -> None:
        super().__init__()
        self.channels = channels
        self.size = size
        self.stride_so_far = stride_so_far
