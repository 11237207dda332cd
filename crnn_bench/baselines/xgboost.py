"""Extreme gradient boosting (Chen & Guestrin 2016)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from xgboost import XGBClassifier

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below, refuse_unless_above


class AnyLabels(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of labels of any type around XGBoost's, which wants 0 to n - 1 with none of them absent.

    Args:
        booster: an unfitted `XGBClassifier`.
    """

    def __init__(self, booster: XGBClassifier) -> None:
        self.booster = booster

    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> "AnyLabels":
        """Fits vectors (n, columns) and labels (n,)."""
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self.booster_ = clone(self.booster).fit(X, numbers)
        return self

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, columns) to (n, classes)."""
        probabilities: NDArray[np.float32] = self.booster_.predict_proba(X)
        return probabilities

    def predict(self, X: NDArray[np.float32]) -> NDArray[Any]:
        """(n, columns) to labels (n,)."""
        answers: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return answers


class XGBoost(Baseline):
    """XGBoost's trees on histograms."""

    space = {
        "max_depth": [2, 3, 4, 6],
        "gamma": [0.0, 1.0, 2.0, 5.0],
        "min_child_weight": [1.0, 3.0, 5.0],
        "learning_rate": {"loguniform": [0.02, 0.3]},
        "subsample": [0.6, 0.8, 1.0],
    }

    def __init__(
        self,
        n_estimators: int = 200,
        learning_rate: float = 0.1,
        max_depth: int = 4,
        gamma: float = 0.0,
        min_child_weight: float = 1.0,
        subsample: float = 1.0,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.gamma = gamma
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        refuse_below(self, n_estimators=1, max_depth=1, gamma=0, min_child_weight=0)
        refuse_unless_above(self, learning_rate=0, subsample=0)

    def classifier(self, seed: int) -> BaseEstimator:
        booster = XGBClassifier(
            n_estimators=self.n_estimators,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            gamma=self.gamma,
            min_child_weight=self.min_child_weight,
            subsample=self.subsample,
            tree_method="hist",
            random_state=seed,
        )
        return AnyLabels(booster)
