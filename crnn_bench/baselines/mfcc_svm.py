"""A support vector machine on MFCC statistics (after Whitman et al. 2001; Mandel & Ellis 2005)."""

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from crnn_bench.baselines import Baseline
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.features.mfcc import Mfcc


class MfccSVM(Baseline):
    """An RBF SVM on the mean and standard deviation of each coefficient over a slice, or over a whole song."""

    def __init__(self, n_mfcc: int = 20, C: float = 10.0, level: str = "slice") -> None:
        if level not in ("slice", "song"):
            raise BenchError(f"MfccSVM: level must be slice or song, got {level!r}", "level")
        if not C > 0:
            raise BenchError(f"MfccSVM: C must be above 0, got {C}", "C")
        self.n_mfcc = n_mfcc
        self.C = C
        self.level = level

    @property
    def features(self) -> Feature:
        return Mfcc(n_mfcc=self.n_mfcc)

    def summarise(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(frames, n_mfcc) to (2 * n_mfcc,)."""
        return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])

    def estimator(self, seed: int) -> BaseEstimator:
        return make_pipeline(StandardScaler(), SVC(C=self.C, gamma="scale", random_state=seed))
