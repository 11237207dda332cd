"""A forest of trees on bootstrap samples."""

from typing import Literal

from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below


class RandomForest(Baseline):
    """Breiman's (2001) forest: each tree sees a bootstrap sample, each split some of the columns."""

    forest: type[BaseEstimator] = RandomForestClassifier
    space = {"max_depth": [8, 16, None], "max_features": ["sqrt", "log2", 0.2], "min_samples_leaf": [1, 2, 5]}

    def __init__(
        self,
        n_estimators: int = 300,
        max_depth: int | None = None,
        max_features: Literal["sqrt", "log2"] | float = "sqrt",
        min_samples_leaf: int = 1,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.max_features = max_features
        self.min_samples_leaf = min_samples_leaf
        refuse_below(self, n_estimators=1, min_samples_leaf=1)

    def classifier(self, seed: int) -> BaseEstimator:
        return self.forest(
            n_estimators=self.n_estimators,
            max_depth=self.max_depth,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            random_state=seed,
        )
