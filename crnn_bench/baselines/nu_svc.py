"""A support vector machine whose share of support vectors is set."""

from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import svm
from sklearn.base import BaseEstimator

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_unless_above


class NuSVC(Baseline):
    """A support vector machine with at least a share `nu` of support vectors (Schölkopf et al. 2000).

    Uneven classes allow small shares only: 2 min(a, b) / (a + b) for any two classes of a and b training vectors.
    """

    space = {"nu": {"uniform": [0.05, 0.6]}, "gamma": {"loguniform": [1e-5, 0.1]}}

    def __init__(
        self,
        nu: float = 0.5,
        kernel: Literal["rbf", "linear"] = "rbf",
        gamma: Literal["scale", "auto"] | float = "scale",
    ) -> None:
        self.nu = nu
        self.kernel = kernel
        self.gamma = gamma
        refuse_unless_above(self, nu=0)

    def classifier(self, seed: int) -> BaseEstimator:
        return FeasibleNuSVC(nu=self.nu, kernel=self.kernel, gamma=self.gamma, break_ties=True, random_state=seed)


class FeasibleNuSVC(svm.NuSVC):  # type: ignore[misc]
    """scikit-learn's machine, which says more of a `nu` that is too large."""

    def fit(self, X: NDArray[np.floating], y: NDArray[Any]) -> "FeasibleNuSVC":
        """Fits vectors (n, columns) and labels (n,)."""
        counts = np.unique(y, return_counts=True)[1]
        most = min(2 * min(pair) / sum(pair) for pair in combinations(counts.tolist(), 2))
        if self.nu > most:
            raise ValueError(f"nu is {self.nu:g}, but classes of {counts.min()} to {counts.max()} allow {most:.3f}")
        fitted: FeasibleNuSVC = super().fit(X, y)
        return fitted
