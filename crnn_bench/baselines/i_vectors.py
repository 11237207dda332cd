"""I-vectors of MFCC frames (Eghbal-zadeh, Schedl & Widmer 2015, after Dehak et al. 2011)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.covariance import LedoitWolf

from crnn_bench import plda
from crnn_bench.baselines import FrameModel
from crnn_bench.baselines.gaussian_mixture import fit_mixture
from crnn_bench.baselines.mahalanobis_svm import whitening
from crnn_bench.errors import BenchError
from crnn_bench.frames import Floats, Songs, sample, scale, statistics
from crnn_bench.plugins import refuse_below
from crnn_bench.total_variability import fit, i_vectors

RIDGE = 1e-6  # least variance within classes of vectors of length 1


class IVectors(FrameModel):
    """What tells a song from the average of all music, in `rank` numbers, scored by PLDA or by cosine.

    The paper has 1,024 components and rank 400; the smaller defaults suit a processor and some hundred songs.
    """

    space = {"n_components": [32, 64, 128], "rank": [50, 100, 200]}

    def __init__(
        self,
        n_mfcc: int = 20,
        n_components: int = 64,
        rank: int = 100,
        n_iterations: int = 5,
        scoring: Literal["cosine", "plda"] = "plda",
        max_frames: int = 100_000,
    ) -> None:
        if scoring not in ("cosine", "plda"):
            raise BenchError(f"IVectors: scoring must be cosine or plda, got {scoring!r}", "scoring")
        self.n_mfcc = n_mfcc
        self.n_components = n_components
        self.rank = rank
        self.n_iterations = n_iterations
        self.scoring = scoring
        self.max_frames = max_frames
        refuse_below(self, n_mfcc=1, n_components=1, rank=1, n_iterations=1, max_frames=n_components)

    def classifier(self, seed: int) -> BaseEstimator:
        return IVectorClassifier(
            self.n_components, self.rank, self.n_iterations, self.scoring, self.max_frames, random_state=seed
        )


class IVectorClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """I-vectors, centred, whitened and of length 1 (Garcia-Romero & Espy-Wilson 2011), then LDA, then the scores.

    There are no more components than sampled frames, and the rank is at most half the number of training songs: a
    higher one learns the songs by heart, and leaves nothing of the kind to be found in others.

    Attributes:
        classes_: in the order of the scores' columns.
        mixture_: the background model: log weights (n,), means (n, bins) and variances (n, bins).
        total_variability_: (n, bins, rank).
        centre_: of the training i-vectors, (rank,).
        whitening_: (rank, rank), to be multiplied from the right.
        projection_: of LDA, (rank, dimensions).
        means_: where each class lies, (classes, dimensions).
        covariances_: what PLDA expects around it, (classes, dimensions, dimensions); none for cosine.
    """

    def __init__(
        self,
        n_components: int = 64,
        rank: int = 100,
        n_iterations: int = 5,
        scoring: Literal["cosine", "plda"] = "plda",
        max_frames: int = 100_000,
        random_state: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.rank = rank
        self.n_iterations = n_iterations
        self.scoring = scoring
        self.max_frames = max_frames
        self.random_state = random_state

    def fit(self, X: Songs, y: object) -> "IVectorClassifier":
        """X is a sequence of (frames, bins)."""
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        frames = sample(X, self.max_frames, np.random.default_rng(self.random_state))
        self.mixture_ = fit_mixture(frames, scale(frames), self.n_components, self.random_state)
        occupancy, first = statistics(X, self.mixture_)
        rank = max(1, min(self.rank, len(X) // 2, first[0].size))
        self.total_variability_ = fit(occupancy, first, rank, self.n_iterations)
        raw = i_vectors(self.total_variability_, occupancy, first)
        self.centre_, self.whitening_ = raw.mean(axis=0), whitening(raw)
        self.projection_ = discriminants(self._normalised(raw), codes)
        vectors = self._normalised(raw) @ self.projection_
        if self.scoring == "plda":
            model = plda.fit(vectors, codes)
            self.means_, covariances = plda.posteriors(model, vectors, codes)
            self.covariances_ = model.within + covariances
        else:
            self.means_ = np.stack([vectors[codes == code].mean(axis=0) for code in range(len(self.classes_))])
        return self

    def decision_function(self, X: Songs) -> Floats:
        """Log-density that a class predicts, or the cosine to its mean: (songs, classes)."""
        vectors = self._normalised(i_vectors(self.total_variability_, *statistics(X, self.mixture_))) @ self.projection_
        if self.scoring == "cosine":
            return _unit(vectors) @ _unit(self.means_).T
        predicted = zip(self.means_, self.covariances_, strict=True)
        return np.stack([plda.log_normal(vectors, mean, covariance) for mean, covariance in predicted], axis=1)

    def predict(self, X: Songs) -> NDArray[np.generic]:
        """The class of the highest score of each song."""
        predicted: NDArray[np.generic] = self.classes_[self.decision_function(X).argmax(axis=1)]
        return predicted

    def _normalised(self, raw: Floats) -> Floats:
        return _unit((raw - self.centre_) @ self.whitening_)


def discriminants(vectors: Floats, codes: NDArray[np.intp]) -> Floats:
    """The directions of linear discriminant analysis, most telling first: (dimensions, at most classes - 1).

    The covariance within classes is pooled, then shrunk (Ledoit & Wolf 2004): a class may have a single vector.

    Args:
        vectors: (n, dimensions).
        codes: their classes, 0, 1, …
    """
    means = np.stack([vectors[codes == code].mean(axis=0) for code in np.unique(codes)])
    within = LedoitWolf(assume_centered=True).fit(vectors - means[codes]).covariance_
    between = np.cov(means[codes], rowvar=False).reshape(within.shape)
    _, directions = eigh(between, within + RIDGE * np.eye(len(within)))
    chosen: Floats = directions[:, ::-1][:, : max(1, len(means) - 1)]
    return chosen


def _unit(vectors: Floats) -> Floats:
    """Vectors made of length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    return unit
