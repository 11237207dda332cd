"""F1 with every class counting alike."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import OfCounts, class_f1, macro


class MacroF1(OfCounts):
    """Plain mean of the F1 of the classes that are true or predicted somewhere (scikit-learn's `average="macro"`)."""

    name = "f1_macro"
    by_rule = True

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return macro(class_f1(totals), totals)
