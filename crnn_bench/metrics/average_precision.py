"""Area under the precision–recall curve."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import Metric, mean_of_known, ranking


class AveragePrecision(Metric):
    """Mean average precision: plain mean over the classes that are true somewhere, each against the rest.

    A class absent from the truth has no recall, and counts in no mean (scikit-learn counts it as 0).
    """

    name = "average_precision"

    def score(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        return mean_of_known(np.array([of_class(truth == c, p) for c, p in enumerate(probabilities.T)]))


class MicroAveragePrecision(Metric):
    """Of all pairs of an item and a class in one ranking; an absent class's pairs are all negative."""

    name = "average_precision_micro"

    def score(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        positive = truth[:, None] == np.arange(probabilities.shape[1])
        return of_class(positive.ravel(), probabilities.ravel())


def of_class(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Sum of precisions at falling thresholds, each by the recall it adds; NaN without positives."""
    if not positive.any():
        return np.nan
    hits, found = ranking(positive, scores)
    return float((np.diff(hits, prepend=0) * hits / found).sum() / hits[-1])
