"""Accuracy as if all classes had equally many items."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import TRUE, OfCounts, class_recall, ratio


class BalancedAccuracy(OfCounts):
    """Mean recall of the classes that are true somewhere; an absent class counts neither way, predicted or not."""

    name = "balanced_accuracy"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        there = (totals[..., TRUE, :] > 0).sum(axis=-1).astype(np.float64)
        return ratio(class_recall(totals).sum(axis=-1), there, np.nan)
