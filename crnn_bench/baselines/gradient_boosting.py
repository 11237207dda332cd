"""Boosted trees, exact splits."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below, refuse_unless_above

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class GradientBoosting(Baseline):
    """Friedman's (2001) gradient boosting; slow with thousands of vectors, see HistGradientBoosting."""

    space = {"learning_rate": {"loguniform": [0.01, 0.3]}, "max_depth": [2, 3, 4], "subsample": [0.5, 0.8, 1.0]}

    def __init__(
        self, n_estimators: int = 100, learning_rate: float = 0.1, max_depth: int = 3, subsample: float = 1.0
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.subsample = subsample
        refuse_below(self, n_estimators=1, max_depth=1)
        refuse_unless_above(self, learning_rate=0, subsample=0)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.ensemble import GradientBoostingClassifier

        return GradientBoostingClassifier(
            n_estimators=self.n_estimators,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            subsample=self.subsample,
            random_state=seed,
        )
