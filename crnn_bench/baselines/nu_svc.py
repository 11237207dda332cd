"""A support vector machine whose share of support vectors is set."""

from typing import Literal

from sklearn import svm
from sklearn.base import BaseEstimator

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_below


class NuSVC(Baseline):
    """A support vector machine with at least a share `nu` of support vectors; uneven classes allow small ones only."""

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
        refuse_below(self, nu=1e-6)

    def classifier(self, seed: int) -> BaseEstimator:
        return svm.NuSVC(nu=self.nu, kernel=self.kernel, gamma=self.gamma, random_state=seed)
