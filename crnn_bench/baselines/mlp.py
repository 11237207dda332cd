"""A small neural network on vectors."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class MLP(Baseline):
    """Dense layers of rectified linear units and a softmax, trained by Adam."""

    space = {"hidden_layer_sizes": [(50,), (100,), (200,), (100, 100)], "alpha": {"loguniform": [1e-5, 1.0]}}

    def __init__(self, hidden_layer_sizes: tuple[int, ...] = (100,), alpha: float = 1e-4, max_iter: int = 500) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.alpha = alpha
        self.max_iter = max_iter
        refuse_below(self, alpha=0, max_iter=1)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier(
            hidden_layer_sizes=self.hidden_layer_sizes, alpha=self.alpha, max_iter=self.max_iter, random_state=seed
        )
