"""A support vector machine on the Mahalanobis distance between songs' MFCC statistics (Mandel & Ellis 2005)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.covariance import LedoitWolf
from sklearn.svm import SVC

from crnn_bench.baselines import GaussianSVM
from crnn_bench.frames import Floats

RIDGE = 1e-6  # least variance in any direction, of the greatest


class MahalanobisSVM(GaussianSVM):
    """An SVM whose kernel is exp(-gamma * squared Mahalanobis distance) between means and covariances of MFCC."""

    def classifier(self, seed: int) -> BaseEstimator:
        return MahalanobisSVC(self.C, self.gamma)


class MahalanobisSVC(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An RBF SVM on vectors whose training covariance has been made the identity.

    The covariance is shrunk (Ledoit & Wolf 2004), since there may be fewer songs than the 230 dimensions of 20
    coefficients; Mandel & Ellis took it as it was. `gamma="scale"` is 1 over the median squared distance between
    training vectors.

    Attributes:
        classes_: in the order of the scores' columns.
        gamma_: as used.
        whitening_: (dimensions, dimensions), to be multiplied from the right.
        svc_: fitted on whitened vectors.
    """

    def __init__(self, C: float = 10.0, gamma: float | Literal["scale"] = "scale") -> None:
        self.C = C
        self.gamma = gamma

    def fit(self, X: NDArray[np.floating], y: object) -> "MahalanobisSVC":
        """X is (songs, dimensions), best of about unit variance each, towards which the covariance is shrunk."""
        vectors = np.asarray(X, dtype=np.float64)
        self.whitening_ = whitening(vectors)
        whitened = vectors @ self.whitening_
        self.gamma_ = float(1 / (np.median(pdist(whitened, "sqeuclidean")) or 1.0))
        if self.gamma != "scale":
            self.gamma_ = float(self.gamma)
        self.svc_ = SVC(C=self.C, gamma=self.gamma_, break_ties=True).fit(whitened, y)
        self.classes_ = self.svc_.classes_
        return self

    def decision_function(self, X: NDArray[np.floating]) -> Floats:
        """Decision values: (songs, classes), of two classes (songs,)."""
        values: Floats = self.svc_.decision_function(np.asarray(X, dtype=np.float64) @ self.whitening_)
        return values

    def predict(self, X: NDArray[np.floating]) -> NDArray[np.generic]:
        """The class of the highest decision value of each song."""
        predicted: NDArray[np.generic] = self.svc_.predict(np.asarray(X, dtype=np.float64) @ self.whitening_)
        return predicted


def whitening(vectors: Floats) -> Floats:
    """The matrix that, from the right, gives vectors (n, dimensions) about unit covariance: (dimensions, dimensions).

    The covariance is that of Ledoit & Wolf (2004), since there may be fewer vectors than dimensions.
    """
    variances, directions = np.linalg.eigh(LedoitWolf().fit(vectors).covariance_)
    whitened: Floats = directions / np.sqrt(np.maximum(variances, RIDGE * (variances.max() or 1.0)))
    return whitened
