"""The floor: guesses by the classes' shares."""

from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier

from crnn_bench.baselines import Baseline


class StratifiedRandom(Baseline):
    """Draws each answer, quite sure of it, from the training shares of the classes, whatever it hears."""

    def classifier(self, seed: int) -> BaseEstimator:
        return DummyClassifier(strategy="stratified", random_state=seed)
