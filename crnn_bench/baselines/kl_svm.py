"""A support vector machine on the divergence between songs' Gaussians (Mandel & Ellis 2005)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from crnn_bench.baselines import GaussianSVM
from crnn_bench.frames import Floats

RIDGE = 1e-4  # of a bin's mean variance within training songs, for songs in which a bin hardly changes


class KLSVM(GaussianSVM):
    """An SVM whose kernel is exp(-gamma * symmetrised KL divergence) between single Gaussians of MFCC frames."""

    def estimator(self, seed: int) -> BaseEstimator:
        """Without a scaler, which would make no covariances of the covariances."""
        return Pipeline([("classifier", self.classifier(seed))])

    def classifier(self, seed: int) -> BaseEstimator:
        return KLKernelSVC(self.C, self.gamma)


class KLKernelSVC(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An SVM over Gaussians: a row is a mean (bins,), then the upper triangle of a covariance, row by row.

    `gamma="scale"` is 1 over the median divergence between training rows. The kernel need not be positive definite;
    libsvm then still finds a stationary point (Lin & Lin 2003), the separation of convex hulls in a
    pseudo-Euclidean space (Haasdonk 2005), and nothing is clipped.

    Attributes:
        classes_: in the order of the scores' columns.
        gamma_: as used.
        ridge_: (bins,), added to the variances.
        rows_: training rows.
        svc_: fitted on their kernel.
    """

    def __init__(self, C: float = 10.0, gamma: float | Literal["scale"] = "scale") -> None:
        self.C = C
        self.gamma = gamma

    def fit(self, X: NDArray[np.floating], y: object) -> "KLKernelSVC":
        """X is (songs, bins + bins * (bins + 1) / 2)."""
        self.rows_ = np.asarray(X, dtype=np.float64)
        variances = np.diagonal(gaussians(self.rows_)[1], axis1=1, axis2=2).mean(axis=0)
        self.ridge_ = RIDGE * np.maximum(variances, RIDGE * (variances.max() or 1.0))
        divergences = self._divergences(self.rows_)
        median = np.median(divergences[np.triu_indices(len(divergences), 1)])
        self.gamma_ = float(1 / (median or 1.0) if self.gamma == "scale" else self.gamma)
        self.svc_ = SVC(C=self.C, kernel="precomputed", break_ties=True)
        self.svc_.fit(np.exp(-self.gamma_ * divergences), y)
        self.classes_ = self.svc_.classes_
        return self

    def decision_function(self, X: NDArray[np.floating]) -> Floats:
        """Decision values: (songs, classes), of two classes (songs,)."""
        values: Floats = self.svc_.decision_function(self._kernel(X))
        return values

    def predict(self, X: NDArray[np.floating]) -> NDArray[np.generic]:
        """The class of the highest decision value of each song."""
        predicted: NDArray[np.generic] = self.svc_.predict(self._kernel(X))
        return predicted

    def _kernel(self, X: NDArray[np.floating]) -> Floats:
        return np.exp(-self.gamma_ * self._divergences(np.asarray(X, dtype=np.float64)))

    def _divergences(self, rows: Floats) -> Floats:
        ridge = np.diag(self.ridge_)
        (means, covariances), (others, other_covariances) = gaussians(rows), gaussians(self.rows_)
        return symmetrised_kl(means, covariances + ridge, others, other_covariances + ridge)


def gaussians(rows: Floats) -> tuple[Floats, Floats]:
    """Rows of a mean and an upper triangle to means (n, bins) and covariances (n, bins, bins)."""
    bins = int((np.sqrt(9 + 8 * rows.shape[1]) - 3) / 2)
    across, down = np.triu_indices(bins)
    covariances = np.empty((len(rows), bins, bins))
    covariances[:, across, down] = covariances[:, down, across] = rows[:, bins:]
    return rows[:, :bins], covariances


def symmetrised_kl(means: Floats, covariances: Floats, other_means: Floats, other_covariances: Floats) -> Floats:
    """KL(p, q) + KL(q, p) in nats between n and m Gaussians: (n, m); the logarithms of KL cancel out.

    Args:
        means: of the p, (n, bins).
        covariances: (n, bins, bins).
        other_means: of the q, (m, bins).
        other_covariances: (m, bins, bins).
    """
    centre = other_means.mean(axis=0)  # the products below lose fewer digits near zero
    means, other_means = means - centre, other_means - centre
    forth = _squares(other_means, other_covariances, means, covariances).T
    back = _squares(means, covariances, other_means, other_covariances)
    divergences: Floats = np.maximum(0.5 * (forth + back) - means.shape[1], 0.0)
    return divergences


def _squares(means: Floats, covariances: Floats, other_means: Floats, other_covariances: Floats) -> Floats:
    """The mean square Mahalanobis distance, by each p, of what each q draws: (n, m)."""
    precisions = np.linalg.inv(covariances)
    seconds = other_covariances + other_means[:, :, None] * other_means[:, None, :]
    projected = np.einsum("nij,nj->ni", precisions, means)
    products = precisions.reshape(len(means), -1) @ seconds.reshape(len(other_means), -1).T
    squares: Floats = products - 2 * projected @ other_means.T + (projected * means).sum(axis=1)[:, None]
    return squares
