"""Area under the receiver operating characteristic, each class against the rest."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import Metric, mean_of_known, ranking


class RocAuc(Metric):
    """Plain mean over the classes that some items have and some have not; the others have no such area."""

    name = "roc_auc"

    def score(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        return mean_of_known(_areas(truth, probabilities))


class WeightedRocAuc(Metric):
    """The same, weighted by the classes' number of true items."""

    name = "roc_auc_weighted"

    def score(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        sizes = np.bincount(truth, minlength=probabilities.shape[1]).astype(np.float64)
        return mean_of_known(_areas(truth, probabilities), sizes)


def of_class(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """How often a positive is above a negative, a tie as a half; NaN without positives or without negatives."""
    if positive.all() or not positive.any():
        return np.nan
    hits, found = ranking(positive, scores)
    false = found - hits
    return float(np.trapezoid(np.append(0, hits), np.append(0, false)) / (hits[-1] * false[-1]))


def _areas(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([of_class(truth == c, p) for c, p in enumerate(probabilities.T)])
