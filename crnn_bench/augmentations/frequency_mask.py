"""Masks along frequency."""

from dataclasses import replace

import numpy as np

from crnn_bench.augmentations import Augmentation, Example, Training, refuse_outside
from crnn_bench.plugins import refuse_below


class FrequencyMask(Augmentation):
    """Hides some bands of bins behind the slice's mean (SpecAugment, Park et al. 2019).

    As `TimeMask`, along the other axis; Park et al. hide up to 27 of 80 mel bins, twice.

    Args:
        width: of the widest mask, a share of the bins.
        number: of masks.
    """

    def __init__(self, width: float = 0.2, number: int = 2) -> None:
        self.width = width
        self.number = number
        refuse_outside(self, "width", 0, 1)
        refuse_below(self, number=1)

    def change(self, example: Example, training: Training, rng: np.random.Generator) -> Example:
        """Masks bins."""
        frames = example.frames
        n_bins, mean = frames.shape[1], frames.mean()
        for _ in range(self.number):
            width = int(rng.integers(int(self.width * n_bins) + 1))
            start = int(rng.integers(n_bins - width + 1))
            frames[:, start : start + width] = mean
        return replace(example, frames=frames)
