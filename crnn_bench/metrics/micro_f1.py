"""F1 with every item counting alike."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import OfCounts, micro


class MicroF1(OfCounts):
    """F1 of all classes' hits together (scikit-learn's `average="micro"`): with one answer an item, the accuracy."""

    name = "f1_micro"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return micro(totals)
