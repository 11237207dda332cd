"""A support vector machine on the experiment's features."""

from typing import TYPE_CHECKING, Literal

from crnn_bench.baselines import Baseline
from crnn_bench.plugins import refuse_unless_above

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class SVC(Baseline):
    """A one-against-one support vector machine with an RBF or a linear kernel."""

    space = {"C": {"loguniform": [0.1, 1000.0]}, "gamma": {"loguniform": [1e-5, 0.1]}}

    def __init__(
        self,
        kernel: Literal["rbf", "linear"] = "rbf",
        C: float = 1.0,
        gamma: Literal["scale", "auto"] | float = "scale",
    ) -> None:
        self.kernel = kernel
        self.C = C
        self.gamma = gamma
        refuse_unless_above(self, C=0)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn import svm

        return svm.SVC(kernel=self.kernel, C=self.C, gamma=self.gamma, break_ties=True, random_state=seed)
