"""The floor: always the most frequent class."""

from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier

from crnn_bench.baselines import Baseline


class MajorityClass(Baseline):
    """Says of every vector what most training vectors are; its probabilities are the training shares."""

    def classifier(self, seed: int) -> BaseEstimator:
        return DummyClassifier(strategy="prior", random_state=seed)
