"""The product of the slices' probabilities."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.aggregations import Aggregation

LEAST = float(np.finfo(np.float32).tiny)
DIGITS = 9  # of the summed logarithms: rounding errors of another order of slices must not break a tie


class Product(Aggregation):
    """The song's probabilities are the product over its slices, normalised: Bayes' rule for independent slices.

    Probabilities are held to be at least 1.2e-38, the smallest normal float32, so that a slice which rules out one
    class does not do so for good, and a song whose slices rule out every class still has an answer.
    """

    name = "product"

    def song_probabilities(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        logs = np.log(np.maximum(probabilities, LEAST, dtype=np.float64)).sum(axis=0).round(DIGITS)
        likelihood = np.exp(logs - logs.max())
        likelihood[likelihood < 2 * LEAST] = 0  # so improbable beside the best that only the floor made it a number
        normalised: NDArray[np.float64] = likelihood / likelihood.sum()
        return normalised
