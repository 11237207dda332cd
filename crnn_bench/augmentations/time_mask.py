"""Masks along time."""

import numpy as np

from crnn_bench.augmentations import Augmentation, Example, Training
from crnn_bench.plugins import refuse_below, refuse_outside


class TimeMask(Augmentation):
    """Hides some stretches of frames behind the slice's mean (SpecAugment, Park et al. 2019).

    Each mask's width is drawn uniformly from 0 to `width` of the slice, and its place from all where it fits; masks may
    overlap. Park et al. fill with 0, the mean of their normalised spectrograms, and give widths in frames; a share
    suits clips of any length.

    Args:
        width: of the widest mask, a share of the slice's frames.
        number: of masks.
    """

    axis = 0

    def __init__(self, width: float = 0.2, number: int = 2) -> None:
        self.width = width
        self.number = number
        refuse_outside(self, "width", 0, 1)
        refuse_below(self, number=1)

    def change(self, example: Example, training: Training, rng: np.random.Generator) -> Example:
        """Masks what lies along the axis."""
        lines = np.moveaxis(example.frames, self.axis, 0)  # a view
        mean = lines.mean()
        for _ in range(self.number):
            width = int(rng.integers(int(self.width * len(lines)) + 1))
            start = int(rng.integers(len(lines) - width + 1))
            lines[start : start + width] = mean
        return example
