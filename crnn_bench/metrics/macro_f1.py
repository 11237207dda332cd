"""F1 with every class counting alike."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import Metric


class MacroF1(Metric):
    """Plain mean of the F1 of the classes that are true or predicted somewhere (scikit-learn's `average="macro"`)."""

    name = "f1_macro"

    def score(self, truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> float:
        from sklearn.metrics import f1_score

        return float(f1_score(truth, predicted, average="macro", zero_division=0))
