"""Metrics: one file each; true classes and probabilities of items (slices or songs) become a number."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

HITS, PREDICTED, TRUE = range(3)  # rows of a class's counts


class Metric(ABC):
    """A number that says how right the answers are.

    Attributes:
        name: of its column.
        of_votes: whether the shares of a song's votes are enough; others want probabilities, and a song's are then the
            mean over its slices.
    """

    name: str
    of_votes: bool = False

    @abstractmethod
    def score(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        """From class numbers (items,) and probabilities (items, classes); an item's class is its most probable one.

        Returns:
            NaN where the items do not decide it (no item, or none of the needed classes).
        """


class Additive(Metric):
    """A metric of sums over items, so that resampled items are scored by weighing the same summands anew."""

    @abstractmethod
    def summands(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(items, …): what each item adds."""

    @abstractmethod
    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores (batch …) of sums of shape (batch …, …), each over other items; weights may be fractions."""

    def score(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        return float(self.of(self.summands(truth, probabilities).sum(axis=0)))


class OfCounts(Additive):
    """A metric of each class's hits, predicted and true items: a sum has shape (3, classes)."""

    of_votes = True

    def summands(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        classes = np.arange(probabilities.shape[1])
        true, predicted = truth[:, None] == classes, probabilities.argmax(axis=1)[:, None] == classes
        return np.stack([true & predicted, predicted, true], axis=1).astype(np.float64)


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part by whole; 0 where the whole is."""
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)


def f1(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, classes) F1 of each class from (…, 3, classes); 0 for one that is neither true nor predicted."""
    return ratio(2 * totals[..., HITS, :], totals[..., PREDICTED, :] + totals[..., TRUE, :])
