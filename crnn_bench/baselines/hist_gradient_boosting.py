"""Boosted trees, splits from histograms."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below, refuse_unless_above

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class HistGradientBoosting(Baseline):
    """Gradient boosting on columns binned to 255 values, after LightGBM (Ke et al. 2017)."""

    space = {
        "learning_rate": {"loguniform": [0.01, 0.3]},
        "max_leaf_nodes": [7, 15, 31, 63],
        "l2_regularization": [0.0, 1.0, 10.0],
    }

    def __init__(
        self, max_iter: int = 100, learning_rate: float = 0.1, max_leaf_nodes: int = 31, l2_regularization: float = 0.0
    ) -> None:
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.max_leaf_nodes = max_leaf_nodes
        self.l2_regularization = l2_regularization
        refuse_below(self, max_iter=1, max_leaf_nodes=2, l2_regularization=0)
        refuse_unless_above(self, learning_rate=0)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            max_iter=self.max_iter,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaf_nodes,
            l2_regularization=self.l2_regularization,
            early_stopping=False,  # it would set slices aside whose songs are trained on
            random_state=seed,
        )
