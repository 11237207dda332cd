"""The paper's metric."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import TRUE, OfCounts, f1, ratio


class WeightedF1(OfCounts):
    """Mean of the classes' F1, weighted by their number of true items (scikit-learn's `average="weighted"`)."""

    name = "f1"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        true = totals[..., TRUE, :]
        return ratio((f1(totals) * true).sum(axis=-1), true.sum(axis=-1))
