"""The paper's metric."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import Metric


class WeightedF1(Metric):
    """Mean of the classes' F1, weighted by their number of true items (scikit-learn's `average="weighted"`)."""

    name = "f1"

    def score(self, truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> float:
        from sklearn.metrics import f1_score

        return float(f1_score(truth, predicted, average="weighted", zero_division=0))
