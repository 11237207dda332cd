"""Slices from anywhere in the song."""

from dataclasses import replace

import numpy as np

from crnn_bench.augmentations import Augmentation, Place, Training


class RandomCrop(Augmentation):
    """Cuts at a random place of the same song in place of the fixed grid; every whole slice is as likely."""

    def move(self, place: Place, training: Training, rng: np.random.Generator) -> Place:
        """Draws the first frame."""
        return replace(place, start=int(rng.integers(len(training.song(place)) - training.length + 1)))
