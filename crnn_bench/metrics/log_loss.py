"""What networks are trained for."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import MeanOverItems

LEAST = float(np.finfo(np.float64).eps)


class LogLoss(MeanOverItems):
    """Mean negative logarithm of the true class's probability, in nats; lower is better.

    Probabilities count as 2.2e-16 at least (as in scikit-learn), so that 36 nats are the most an item can lose.
    """

    name = "log_loss"
    best = 0.0
    worst = np.inf

    def values(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        own = np.take_along_axis(probabilities, truth[:, None], axis=1)[:, 0]
        return np.maximum(-np.log(np.maximum(own, LEAST)), 0)  # a sum of float32 probabilities may be above 1
