"""The nearest training vectors vote."""

from typing import TYPE_CHECKING, Literal

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class KNN(Baseline):
    """k nearest neighbours in Euclidean distance of scaled vectors; a probability is the share of their votes."""

    space = {"n_neighbors": [1, 3, 5, 9, 15, 25], "weights": ["uniform", "distance"]}

    def __init__(self, n_neighbors: int = 5, weights: Literal["uniform", "distance"] = "uniform") -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        refuse_below(self, n_neighbors=1)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(n_neighbors=self.n_neighbors, weights=self.weights)
