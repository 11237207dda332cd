"""How many of a class's answers are right."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import OfCounts, class_precision, macro, micro, weighted


class WeightedPrecision(OfCounts):
    """Mean over classes by their true items; a class that is never predicted has 0, one nowhere true no weight."""

    name = "precision_weighted"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return weighted(class_precision(totals), totals)


class MacroPrecision(OfCounts):
    """Plain mean over the classes that are true or predicted somewhere; one that is never predicted has 0."""

    name = "precision_macro"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return macro(class_precision(totals), totals)


class MicroPrecision(OfCounts):
    """Of all classes together: with one answer an item, the accuracy."""

    name = "precision_micro"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return micro(totals)
