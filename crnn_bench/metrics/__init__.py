"""Metrics: one file each; true classes and probabilities of items (slices or songs) become a number."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

HITS, PREDICTED, TRUE = range(3)  # rows of a class's counts


class Metric(ABC):
    """A number that says how right the answers are.

    Attributes:
        name: of its column.
        best: what perfect answers get; no score is beyond it. Lower is better where it is 0.
        worst: at the other end; infinite where nothing is the worst.
        of_votes: whether the shares of a song's votes are enough; others want probabilities, and a song's are then the
            mean over its slices.
        by_rule: whether songs are scored by each rule that compiles their slices, not by one alone.
    """

    name: str
    best: float = 1.0
    worst: float = 0.0
    of_votes: bool = False
    by_rule: bool = False

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

    def score(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        predicted = probabilities.argmax(axis=1)
        rows = (truth[truth == predicted], predicted, truth)  # the sum of the summands, without making them
        counts = [np.bincount(row, minlength=probabilities.shape[1]) for row in rows]
        return float(self.of(np.stack(counts).astype(np.float64)))


class MeanOverItems(Additive):
    """A metric that is a plain mean: a sum has shape (2,), of values and of items."""

    @abstractmethod
    def values(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(items,): the score of each item alone."""

    def summands(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self.values(truth, probabilities)
        return np.stack([values, np.ones_like(values)], axis=1)

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return ratio(totals[..., 0], totals[..., 1], np.nan)


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64], of_nothing: float = 0.0) -> NDArray[np.float64]:
    """Part by whole; `of_nothing` where the whole is 0."""
    parts: NDArray[np.float64] = np.full(np.broadcast_shapes(part.shape, whole.shape), of_nothing)
    np.divide(part, whole, out=parts, where=whole > 0)
    return parts


def class_precision(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, classes) share of a class's answers that are right, from (…, 3, classes); 0 for one never predicted."""
    return ratio(totals[..., HITS, :], totals[..., PREDICTED, :])


def class_recall(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, classes) share of a class's items that are found, from (…, 3, classes); 0 for one that is nowhere true."""
    return ratio(totals[..., HITS, :], totals[..., TRUE, :])


def class_f1(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, classes) F1 of each class from (…, 3, classes); 0 for one that is neither true nor predicted."""
    return ratio(2 * totals[..., HITS, :], totals[..., PREDICTED, :] + totals[..., TRUE, :])


def weighted(values: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of values (…, classes) by number of true items (scikit-learn's `average="weighted"`)."""
    true = totals[..., TRUE, :]
    return ratio((values * true).sum(axis=-1), true.sum(axis=-1), np.nan)


def macro(values: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Plain mean of values (…, classes) of the classes that are true or predicted somewhere (`average="macro"`)."""
    there = totals[..., PREDICTED, :] + totals[..., TRUE, :] > 0
    return ratio((values * there).sum(axis=-1), there.sum(axis=-1).astype(np.float64), np.nan)


def micro(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hits of all classes by items: of one answer an item, precision, recall and F1 (`average="micro"`) are this."""
    return ratio(totals[..., HITS, :].sum(axis=-1), totals[..., TRUE, :].sum(axis=-1), np.nan)


def rank_of_truth(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """(items,) place of the true class among the classes by probability, from 1; of tied ones the smaller is first."""
    own = np.take_along_axis(probabilities, truth[:, None], axis=1)
    before = np.arange(probabilities.shape[1]) < truth[:, None]
    ahead: NDArray[np.int64] = ((probabilities > own) | ((probabilities == own) & before)).sum(axis=1)
    return ahead + 1


def ranking(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Items by falling score: at each distinct score, how many positives and how many items have it or a higher one."""
    order = np.argsort(-scores)
    differs = np.diff(scores[order], append=-np.inf) != 0
    found = np.flatnonzero(differs) + 1
    return np.cumsum(positive[order])[found - 1].astype(np.float64), found.astype(np.float64)


def mean_of_known(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> float:
    """Weighted mean of the values that are not NaN; NaN where all are."""
    known = ~np.isnan(values)
    if not known.any():
        return np.nan
    return float(np.average(values[known], weights=None if weights is None else weights[known]))
