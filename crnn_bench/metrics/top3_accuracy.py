"""Whether the true class is among the three most probable."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import MeanOverItems, rank_of_truth

K = 3


class Top3Accuracy(MeanOverItems):
    """Share of items whose true class is among the three most probable; of tied classes the smaller is first.

    With three classes or fewer it is 1 whatever the answers.
    """

    name = "top3_accuracy"

    def values(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        return (rank_of_truth(truth, probabilities) <= K).astype(np.float64)
