"""Boosted stumps."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below, refuse_unless_above

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class AdaBoost(Baseline):
    """AdaBoost (SAMME) of trees with one split."""

    space = {"n_estimators": [50, 100, 200, 400], "learning_rate": {"loguniform": [0.05, 2.0]}}

    def __init__(self, n_estimators: int = 100, learning_rate: float = 1.0) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        refuse_below(self, n_estimators=1)
        refuse_unless_above(self, learning_rate=0)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.ensemble import AdaBoostClassifier

        return AdaBoostClassifier(n_estimators=self.n_estimators, learning_rate=self.learning_rate, random_state=seed)
