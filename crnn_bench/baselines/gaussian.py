"""One Gaussian per class over MFCC frames (Ellis 2007)."""

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from crnn_bench.baselines import FrameModel
from crnn_bench.frames import Floats, Songs
from crnn_bench.plugins import refuse_below

RIDGE = 1e-6  # of a bin's variance over all classes, for bins that a class never changes


class Gaussian(FrameModel):
    """The class under whose Gaussian the frames are likeliest, each frame by itself."""

    def __init__(self, n_mfcc: int = 20) -> None:
        self.n_mfcc = n_mfcc
        refuse_below(self, n_mfcc=1)

    def classifier(self, seed: int) -> BaseEstimator:
        return GaussianClassifier()


class GaussianClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A full-covariance Gaussian over all frames of a class.

    Attributes:
        classes_: in the order of the scores' columns.
        means_: (classes, bins).
        covariances_: (classes, bins, bins), ridge included.
    """

    def fit(self, X: Songs, y: object) -> "GaussianClassifier":
        """X is a sequence of (frames, bins)."""
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        lengths, means, covariances = np.array([len(song) for song in X]), *_moments(X)
        variances = np.diag(_pooled(lengths, means, covariances)[1])
        ridge = RIDGE * np.maximum(variances, RIDGE * (variances.max() or 1.0)) * np.eye(len(variances))
        of_class = [codes == code for code in range(len(self.classes_))]
        pooled = [_pooled(lengths[own], means[own], covariances[own]) for own in of_class]
        self.means_ = np.stack([mean for mean, _ in pooled])
        self.covariances_ = np.stack([covariance + ridge for _, covariance in pooled])
        return self

    def decision_function(self, X: Songs) -> Floats:
        """Mean log-likelihood of a frame: (songs, classes)."""
        means, covariances = _moments(X)
        precisions = np.linalg.inv(self.covariances_)
        shifts = means[:, None] - self.means_
        squares = np.einsum("sij,kij->sk", covariances, precisions, optimize=True)
        squares += np.einsum("ski,kij,skj->sk", shifts, precisions, shifts, optimize=True)
        constants = np.linalg.slogdet(2 * np.pi * self.covariances_).logabsdet
        scores: Floats = -0.5 * (squares + constants)
        return scores

    def predict(self, X: Songs) -> NDArray[np.generic]:
        """The likeliest class of each song."""
        predicted: NDArray[np.generic] = self.classes_[self.decision_function(X).argmax(axis=1)]
        return predicted


def _moments(songs: Songs) -> tuple[Floats, Floats]:
    """Mean (songs, bins) and covariance (songs, bins, bins) of each song's frames."""
    means, covariances = [], []
    for song in songs:
        frames = np.asarray(song, dtype=np.float64)
        means.append(frames.mean(axis=0))
        covariances.append((frames - means[-1]).T @ (frames - means[-1]) / len(frames))
    return np.stack(means), np.stack(covariances)


def _pooled(lengths: NDArray[np.intp], means: Floats, covariances: Floats) -> tuple[Floats, Floats]:
    """Mean (bins,) and covariance (bins, bins) of the frames of several songs together."""
    weights = lengths / lengths.sum()
    mean = weights @ means
    shifts = means - mean
    return mean, np.einsum("s,sij->ij", weights, covariances) + (weights * shifts.T) @ shifts
