"""One mixture of Gaussians per class over MFCC frames (Reynolds & Rose 1995, for speakers)."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Mixtures

from crnn_bench.baselines import FrameModel
from crnn_bench.frames import Floats, Mixture, Songs, log_densities, sample, scale
from crnn_bench.plugins import refuse_below

LEAST_VARIANCE = 0.01  # of a bin's over all frames, added to each component's: digital silence would have none


class GaussianMixture(FrameModel):
    """The class under whose diagonal mixture the frames are likeliest, each frame by itself."""

    space = {"n_components": [4, 8, 16, 32, 64]}

    def __init__(self, n_mfcc: int = 20, n_components: int = 8, max_frames: int = 20_000) -> None:
        self.n_mfcc = n_mfcc
        self.n_components = n_components
        self.max_frames = max_frames
        refuse_below(self, n_mfcc=1, n_components=1, max_frames=n_components)

    def classifier(self, seed: int) -> BaseEstimator:
        return GaussianMixtureClassifier(self.n_components, self.max_frames, seed)


class GaussianMixtureClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A mixture of `n_components` diagonal Gaussians per class, or of as many as the class has frames.

    Attributes:
        classes_: in the order of the scores' columns.
        mixtures_: by class, log weights (n,), means (n, bins) and variances (n, bins).
    """

    def __init__(self, n_components: int = 8, max_frames: int = 20_000, random_state: int | None = None) -> None:
        self.n_components = n_components
        self.max_frames = max_frames
        self.random_state = random_state

    def fit(self, X: Songs, y: object) -> "GaussianMixtureClassifier":
        """X is a sequence of (frames, bins); of each class at most `max_frames` frames are heard."""
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        rng = np.random.default_rng(self.random_state)
        frames = [
            sample([song for song, of in zip(X, codes, strict=True) if of == code], self.max_frames, rng)
            for code in range(len(self.classes_))
        ]
        unit = scale(np.concatenate(frames))
        self.mixtures_ = [fit_mixture(some, unit, self.n_components, self.random_state) for some in frames]
        return self

    def decision_function(self, X: Songs) -> Floats:
        """Mean log-likelihood of a frame: (songs, classes)."""
        scores = [[logsumexp(log_densities(song, of), axis=1).mean() for of in self.mixtures_] for song in X]
        return np.array(scores)

    def predict(self, X: Songs) -> NDArray[np.generic]:
        """The likeliest class of each song."""
        predicted: NDArray[np.generic] = self.classes_[self.decision_function(X).argmax(axis=1)]
        return predicted


def fit_mixture(frames: Floats, unit: Floats, n_components: int, seed: int | None) -> Mixture:
    """Fits diagonal Gaussians, no more than frames, to frames (n, bins) whose bins are measured in `unit` (bins,)."""
    n_components = min(n_components, len(frames))
    fitted = Mixtures(n_components, covariance_type="diag", reg_covar=LEAST_VARIANCE, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps more would hardly change the densities
        fitted.fit(frames / unit)
    return np.log(fitted.weights_), fitted.means_ * unit, fitted.covariances_ * unit**2
