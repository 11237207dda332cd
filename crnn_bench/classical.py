"""Fit and predict for the scikit-learn family."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator

from crnn_bench.baselines import Baseline
from crnn_bench.records import Slices
from crnn_bench.seeds import derive


@dataclass
class FittedBaseline:
    """A fitted estimator; its scores become probabilities by one temperature.

    Attributes:
        baseline: how it summarises frames.
        estimator: fitted on the training part alone.
        temperature: divides decision values before the softmax; fitted on validation slices (Guo et al. 2017).
        n_classes: of the experiment.
        details: numbers for the record.
    """

    baseline: Baseline
    estimator: BaseEstimator
    temperature: float
    n_classes: int
    details: dict[str, Any]

    def predict_proba(self, slices: Slices) -> NDArray[np.float64]:
        """(slices, classes)."""
        scores = _scores(self.estimator, _summaries(self.baseline, slices), self.n_classes)
        probabilities: NDArray[np.float64] = softmax(scores / self.temperature, axis=1)
        return probabilities


def fit(baseline: Baseline, train: Slices, validation: Slices, n_classes: int, seed: int) -> FittedBaseline:
    """Fits on training slices; only the temperature, which changes no slice's decision, looks at validation slices."""
    estimator = baseline.estimator(derive(seed, "estimator"))
    estimator.fit(_summaries(baseline, train), train.label)
    scores = _scores(estimator, _summaries(baseline, validation), n_classes)
    temperature = _temperature(scores, validation.label)
    return FittedBaseline(baseline, estimator, temperature, n_classes, {"temperature": temperature})


def _summaries(baseline: Baseline, slices: Slices) -> NDArray[np.float32]:
    return np.stack([baseline.summarise(slices[item].astype(np.float32)) for item in range(len(slices))])


def _scores(estimator: BaseEstimator, vectors: NDArray[np.float32], n_classes: int) -> NDArray[np.float64]:
    """Log-probabilities or decision values, (n, classes); a class that was never trained gets the lowest."""
    if hasattr(estimator, "predict_proba"):
        known = np.log(np.maximum(estimator.predict_proba(vectors), 1e-12))
    else:
        known = estimator.decision_function(vectors)
        known = np.stack([-known, known], axis=1) if known.ndim == 1 else known
    scores = np.full((len(vectors), n_classes), known.min() - 10.0)
    scores[:, estimator.classes_] = known
    return scores


def _temperature(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The temperature of least log loss, between 0.01 and 100.

    The targets are softened as Platt's (1999), by 1 / (n + 2), so that few and faultless answers do not make it
    boundlessly sure of itself.
    """
    softened = 1 / (len(truth) + 2)
    targets = np.full(scores.shape, softened / (scores.shape[1] - 1))
    targets[np.arange(len(truth)), truth] = 1 - softened

    def log_loss(log_temperature: float) -> float:
        return float(-(targets * log_softmax(scores / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(log_loss, bounds=(np.log(0.01), np.log(100)), method="bounded").x))
