"""Share of right answers."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import Metric


class Accuracy(Metric):
    """Number of right answers over number of answers."""

    name = "accuracy"

    def score(self, truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> float:
        return float(np.mean(truth == predicted))
