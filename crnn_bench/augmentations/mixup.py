"""Mixtures of two slices and of their labels."""

from dataclasses import replace

import numpy as np

from crnn_bench.augmentations import Augmentation, Example, Training
from crnn_bench.plugins import refuse_outside


class Mixup(Augmentation):
    """A convex combination with a random training slice, frames and targets alike (Zhang et al. 2018).

    The share of the slice itself is drawn from Beta(alpha, alpha). Zhang et al. pair the slices of a batch with each
    other; here the partner is drawn from all of the training slices, as they are without augmentation, so that a
    slice does not depend on its batch.

    Args:
        alpha: small values mix rarely, 1 mixes evenly.
    """

    def __init__(self, alpha: float = 0.2) -> None:
        self.alpha = alpha
        refuse_outside(self, "alpha", 0.001, 100)

    def change(self, example: Example, training: Training, rng: np.random.Generator) -> Example:
        """Mixes."""
        partner = int(rng.integers(len(training.slices)))
        share = np.float32(rng.beta(self.alpha, self.alpha))
        other = training.cut(training.place(partner))
        target = training.target(int(training.slices.label[partner]))
        return replace(
            example,
            frames=share * example.frames + (1 - share) * other,
            target=share * example.target + (1 - share) * target,
        )
