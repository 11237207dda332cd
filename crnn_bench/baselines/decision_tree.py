"""One decision tree."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class DecisionTree(Baseline):
    """A tree of Gini splits; a probability is the share of a leaf's training vectors."""

    space = {"max_depth": [4, 8, 16, None], "min_samples_leaf": [1, 2, 5, 10, 20]}

    def __init__(self, max_depth: int | None = None, min_samples_leaf: int = 1) -> None:
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        refuse_below(self, min_samples_leaf=1)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.tree import DecisionTreeClassifier

        return DecisionTreeClassifier(
            max_depth=self.max_depth, min_samples_leaf=self.min_samples_leaf, random_state=seed
        )
