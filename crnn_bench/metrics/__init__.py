"""Metrics: one file each; numbers of true and predicted classes."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class Metric(ABC):
    """A score between 0 and 1; `name` is its column."""

    name: str

    @abstractmethod
    def score(self, truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> float:
        """From class numbers (n,) and (n,); a class that is neither true nor predicted counts in no mean."""
