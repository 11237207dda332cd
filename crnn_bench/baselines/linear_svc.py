"""A linear support vector machine, one class against the rest."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below, refuse_unless_above

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class LinearSVC(Baseline):
    """liblinear's machine: squared hinge loss, one against the rest, fast with many vectors."""

    space = {"C": {"loguniform": [1e-4, 10.0]}}

    def __init__(self, C: float = 1.0, max_iter: int = 10000) -> None:
        self.C = C
        self.max_iter = max_iter
        refuse_below(self, max_iter=1)
        refuse_unless_above(self, C=0)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn import svm

        return svm.LinearSVC(C=self.C, max_iter=self.max_iter, random_state=seed)
