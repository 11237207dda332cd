"""The floor: always the most frequent class."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class MajorityClass(Baseline):
    """Says of every vector what most training vectors are; its probabilities are the training shares."""

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.dummy import DummyClassifier

        return DummyClassifier(strategy="prior", random_state=seed)
