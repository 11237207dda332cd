"""The paper's metric."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import OfCounts, class_f1, weighted


class WeightedF1(OfCounts):
    """Mean of the classes' F1, weighted by their number of true items (scikit-learn's `average="weighted"`)."""

    name = "f1"
    by_rule = True

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return weighted(class_f1(totals), totals)
