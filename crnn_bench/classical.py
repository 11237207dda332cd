"""Fit and predict for the scikit-learn family."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from crnn_bench import plugins
from crnn_bench.baselines import Baseline
from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from crnn_bench.seeds import derive


@dataclass
class FittedBaseline:
    """A fitted estimator; where it gives no probabilities, one temperature makes some of its scores.

    Attributes:
        baseline: how it summarises frames.
        estimator: fitted on the training part alone.
        temperature: divides decision values before the softmax; fitted on validation slices (Guo et al. 2017). `None`
            where the estimator has probabilities of its own.
        n_classes: of the experiment.
        details: numbers for the record.
    """

    baseline: Baseline
    estimator: BaseEstimator
    temperature: float | None
    n_classes: int
    details: dict[str, Any]

    def predict_proba(self, slices: Slices) -> NDArray[np.float64]:
        """(slices, classes)."""
        vectors = self.baseline.inputs(slices)
        with _told_as_one_line(self.baseline):
            if self.temperature is None:
                known = self.estimator.predict_proba(vectors)
            else:
                known = softmax(_scores(self.estimator, vectors) / self.temperature, axis=1)
        probabilities = np.zeros((len(slices), self.n_classes))
        probabilities[:, self.estimator.classes_] = known  # a class that was never trained is never said
        return probabilities


def check(model: Choice) -> None:
    """Builds an estimator, so that what cannot work is refused before anything is fitted.

    Raises:
        BenchError: the code of the baseline fails; says where.
    """
    try:
        model.build().estimator(0)
    except plugins.FAULTS as error:
        raise BenchError(f"{model.label} does not work{plugins.place(error, model.cls)}: {error}") from error


def fit(baseline: Baseline, train: Slices, validation: Slices, n_classes: int, seed: int) -> FittedBaseline:
    """Fits on training slices; only the temperature, which changes no slice's decision, looks at validation slices.

    Raises:
        BenchError: the estimator refuses the data; says why.
    """
    estimator = baseline.estimator(derive(seed, "estimator"))
    details: dict[str, Any] = {}
    with _told_as_one_line(baseline), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(baseline.inputs(train), train.label)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        details["remark"] = "stopped before it converged; raise its max_iter"
    temperature = None
    if not hasattr(estimator, "predict_proba"):
        scores = _scores(estimator, baseline.inputs(validation))
        truth = np.searchsorted(estimator.classes_, validation.label)
        temperature = details["temperature"] = _temperature(scores, truth)
    return FittedBaseline(baseline, estimator, temperature, n_classes, details)


@contextmanager
def _told_as_one_line(baseline: Baseline) -> Iterator[None]:
    """scikit-learn says by `ValueError` that data and arguments do not go together."""
    try:
        yield
    except ValueError as error:
        raise BenchError(f"{type(baseline).__name__}: {str(error).splitlines()[0]}") from error


def _scores(estimator: BaseEstimator, vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Decision values, (n, trained classes)."""
    scores = estimator.decision_function(vectors)
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


def _temperature(scores: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
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
