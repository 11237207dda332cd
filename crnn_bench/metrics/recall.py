"""How many of a class's items are found."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import OfCounts, class_recall, macro, micro, weighted


class WeightedRecall(OfCounts):
    """Mean over classes by their true items, which is the accuracy."""

    name = "recall_weighted"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return weighted(class_recall(totals), totals)


class MacroRecall(OfCounts):
    """Plain mean over the classes that are true or predicted somewhere; one that is predicted but nowhere true has 0.

    `balanced_accuracy` leaves the latter out.
    """

    name = "recall_macro"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return macro(class_recall(totals), totals)


class MicroRecall(OfCounts):
    """Of all classes together: with one answer an item, the accuracy."""

    name = "recall_micro"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return micro(totals)
