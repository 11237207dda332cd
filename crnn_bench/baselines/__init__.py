"""Classical baselines: one file each; frames are summarised to a vector, a scikit-learn estimator does the rest."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from crnn_bench.features import Feature


class Baseline(ABC):
    """A scikit-learn classifier of vectors made from frames.

    Attributes:
        level: `slice` classifies each slice; `song` classifies each whole song once, whatever the clip length.
    """

    level: str = "slice"

    @property
    @abstractmethod
    def features(self) -> Feature:
        """The frames that it summarises; a baseline brings its own."""

    @abstractmethod
    def summarise(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(frames, bins) to one vector (dimensions,)."""

    @abstractmethod
    def estimator(self, seed: int) -> BaseEstimator:
        """An unfitted classifier, scaler included, with `predict_proba` or `decision_function`."""
