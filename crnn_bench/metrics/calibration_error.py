"""How far a classifier's sureness is from its accuracy."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import Additive, ratio

BINS = 15


class CalibrationError(Additive):
    """Expected calibration error (Guo et al. 2017); lower is better.

    Items are put into 15 equal bins by the probability of their answer, (0, 1/15] … (14/15, 1]; the error is the mean
    over items of their bin's |accuracy − mean probability|. A sum has shape (16,): right answers less probability in
    each bin, and items.
    """

    name = "calibration_error"
    best = 0.0
    worst = 1.0

    def summands(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        sure = np.minimum(probabilities.max(axis=1, initial=0), 1)  # float32 probabilities may be above 1
        gap = (probabilities.argmax(axis=1) == truth) - sure
        mine = bins(sure)[:, None] == np.arange(BINS)
        return np.column_stack([mine * gap[:, None], np.ones(len(gap))])

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return ratio(np.abs(totals[..., :BINS]).sum(axis=-1), totals[..., BINS], np.nan)


def bins(sure: NDArray[np.float64]) -> NDArray[np.int64]:
    """(items,) the bin, from 0, of the probability of each item's answer; a bin has its upper bound."""
    inside = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.searchsorted(inside, sure, side="left").astype(np.int64)
