"""Aggregations: one file each; the probabilities of a song's slices become the song's label."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class Aggregation(ABC):
    """Compiles the slices of one song."""

    name: str

    @abstractmethod
    def song_probabilities(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(slices, classes) of one song to (classes,), summing to 1; ties go to the smaller class number."""
