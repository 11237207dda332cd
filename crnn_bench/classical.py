"""Fits a baseline."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crnn_bench import plugins
from crnn_bench.baselines import Baseline
from crnn_bench.errors import BenchError
from crnn_bench.fitted import FittedBaseline, decisions, told_as_one_line
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from crnn_bench.seeds import derive


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
    from sklearn.exceptions import ConvergenceWarning

    estimator = baseline.estimator(derive(seed, "estimator"))
    details: dict[str, Any] = {}
    with told_as_one_line(baseline), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(baseline.inputs(train), train.label)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        details["remark"] = "stopped before it converged; raise its max_iter"
    temperature = None
    if not hasattr(estimator, "predict_proba"):
        scores = decisions(estimator, baseline.inputs(validation))
        truth = np.searchsorted(estimator.classes_, validation.label)
        temperature = details["temperature"] = _temperature(scores, truth)
    return FittedBaseline(baseline, estimator, temperature, n_classes, details)


def _temperature(scores: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
    """The temperature of least log loss, between 0.01 and 100.

    The targets are softened as Platt's (1999), by 1 / (n + 2), so that few and faultless answers do not make it
    boundlessly sure of itself.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    softened = 1 / (len(truth) + 2)
    targets = np.full(scores.shape, softened / (scores.shape[1] - 1))
    targets[np.arange(len(truth)), truth] = 1 - softened

    def log_loss(log_temperature: float) -> float:
        return float(-(targets * log_softmax(scores / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(log_loss, bounds=(np.log(0.01), np.log(100)), method="bounded").x))
