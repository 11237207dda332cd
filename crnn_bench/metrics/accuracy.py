"""Share of right answers."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import HITS, TRUE, OfCounts, ratio


class Accuracy(OfCounts):
    """Number of right answers over number of answers."""

    name = "accuracy"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return ratio(totals[..., HITS, :].sum(axis=-1), totals[..., TRUE, :].sum(axis=-1))
