"""Louder and quieter slices."""

from dataclasses import replace

import numpy as np

from crnn_bench.augmentations import Augmentation, Example, Training
from crnn_bench.plugins import refuse_outside


class RandomGain(Augmentation):
    """Makes a whole slice louder or quieter by a gain that is drawn uniformly.

    Args:
        decibels: of the largest gain, up or down.
    """

    needs_decibels = True

    def __init__(self, decibels: float = 6.0) -> None:
        self.decibels = decibels
        refuse_outside(self, "decibels", 0, 60)

    def change(self, example: Example, training: Training, rng: np.random.Generator) -> Example:
        """Adds the gain."""
        gain = np.float32(rng.uniform(-self.decibels, self.decibels))
        return replace(example, frames=example.frames + gain)
