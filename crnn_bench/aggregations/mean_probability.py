"""The mean of the slices' probabilities."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.aggregations import Aggregation


class MeanProbability(Aggregation):
    """The song's probabilities are the mean over its slices."""

    name = "mean-prob"

    def song_probabilities(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = probabilities.mean(axis=0)
        return mean
