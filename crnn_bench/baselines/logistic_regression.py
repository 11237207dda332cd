"""The linear model of log-odds."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below, refuse_unless_above

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class LogisticRegression(Baseline):
    """Multinomial logistic regression with an L2 penalty; its probabilities are its own."""

    space = {"C": {"loguniform": [1e-3, 100.0]}}

    def __init__(self, C: float = 1.0, max_iter: int = 1000) -> None:
        self.C = C
        self.max_iter = max_iter
        refuse_below(self, max_iter=1)
        refuse_unless_above(self, C=0)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn import linear_model

        return linear_model.LogisticRegression(C=self.C, max_iter=self.max_iter, random_state=seed)
