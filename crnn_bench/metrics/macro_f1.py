"""F1 with every class counting alike."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import PREDICTED, TRUE, OfCounts, f1, ratio


class MacroF1(OfCounts):
    """Plain mean of the F1 of the classes that are true or predicted somewhere (scikit-learn's `average="macro"`)."""

    name = "f1_macro"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        there = (totals[..., PREDICTED, :] + totals[..., TRUE, :] > 0).sum(axis=-1)
        return ratio(f1(totals).sum(axis=-1), there.astype(np.float64))
