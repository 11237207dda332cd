"""The floor: guesses by the classes' shares."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class StratifiedRandom(Baseline):
    """Draws each answer, quite sure of it, from the training shares of the classes, whatever it hears."""

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.dummy import DummyClassifier

        return DummyClassifier(strategy="stratified", random_state=seed)
