"""One slice, one vote."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.aggregations import Aggregation


class Vote(Aggregation):
    """Each slice votes for its most probable class; the shares of the votes are the song's probabilities."""

    name = "vote"
    threshold = 0.0

    def song_probabilities(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        sure = probabilities.max(axis=1) > self.threshold
        voters = probabilities[sure] if sure.any() else probabilities
        votes = np.bincount(voters.argmax(axis=1), minlength=probabilities.shape[1])
        shares: NDArray[np.float64] = votes / votes.sum()
        return shares
