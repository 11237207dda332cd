"""Share of right answers."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import OfCounts, micro


class Accuracy(OfCounts):
    """Number of right answers over number of answers."""

    name = "accuracy"
    by_rule = True

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return micro(totals)
