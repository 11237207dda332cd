"""Classical baselines: one file each; frames are summarised to a vector, a scikit-learn estimator does the rest."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.features.mfcc_gaussian import MfccGaussian
from crnn_bench.plugins import refuse_unless_above
from crnn_bench.records import Slices

if TYPE_CHECKING:  # scikit-learn takes a second to import, which no plan needs
    from sklearn.base import BaseEstimator


def mean_and_deviation(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """(frames, bins) to the mean and deviation of each bin, (2 * bins,); a single frame, a table's row, is itself."""
    return frames[0] if len(frames) == 1 else np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


class Baseline(ABC):
    """A classifier of slices, or of whole songs where an experiment's `clip_seconds` is `song`.

    Attributes:
        space: what `search` draws from, where the YAML does not say: by constructor argument a list of values, or
            `{uniform: [low, high]}`, `{loguniform: [low, high]}`, `{randint: [low, high]}`.
    """

    space: Mapping[str, Any] = {}

    @property
    def features(self) -> Feature | None:
        """The frames that it hears; `None` takes the experiment's."""
        return None

    def summarise(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(frames, bins) to a vector; a model of frames returns them, and its estimator takes a sequence of those."""
        return mean_and_deviation(frames)

    def estimator(self, seed: int) -> "BaseEstimator":
        """An unfitted classifier, scaler included, with `predict_proba` or `decision_function`."""
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler

        return Pipeline([("scale", StandardScaler()), ("classifier", self.classifier(seed))])

    @abstractmethod
    def classifier(self, seed: int) -> "BaseEstimator":
        """The last step alone, unfitted; `seed` is its only source of randomness."""

    def inputs(self, slices: Slices) -> NDArray[Any]:
        """What the estimator takes of each slice: vectors (slices, columns), or an object array of frames.

        Raises:
            BenchError: a value is NaN or infinite; names its track and column.
        """
        summaries = [self.summarise(frames) for frames in slices.frames()]
        if summaries[0].ndim == 1:
            return np.stack(summaries)
        ragged = np.empty(len(summaries), dtype=object)
        for item, frames in enumerate(summaries):
            ragged[item] = frames
        return ragged


class FrameModel(Baseline):
    """A baseline that hears the MFCC frames themselves; its classifier takes a sequence of (frames, bins)."""

    n_mfcc: int

    @property
    def features(self) -> Feature:
        return Mfcc(n_mfcc=self.n_mfcc)

    def summarise(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return frames

    def estimator(self, seed: int) -> "BaseEstimator":
        from sklearn.pipeline import Pipeline

        return Pipeline([("classifier", self.classifier(seed))])


class GaussianSVM(Baseline):
    """A support vector machine on songs' Gaussians, the mean and covariance of their MFCCs.

    Args:
        n_mfcc: coefficients.
        C: of the machine.
        gamma: of the kernel; `scale` is 1 over the median distance between training songs.
    """

    space = {"C": {"loguniform": [0.1, 1000.0]}}

    def __init__(self, n_mfcc: int = 20, C: float = 10.0, gamma: float | Literal["scale"] = "scale") -> None:
        if gamma != "scale" and not gamma > 0:
            raise BenchError(f"{type(self).__name__}: gamma must be scale or above 0, got {gamma}", "gamma")
        self.n_mfcc = n_mfcc
        self.C = C
        self.gamma = gamma
        refuse_unless_above(self, C=0)

    @property
    def features(self) -> Feature:
        return MfccGaussian(n_mfcc=self.n_mfcc)
