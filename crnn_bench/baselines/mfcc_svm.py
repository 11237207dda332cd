"""A support vector machine on MFCC statistics (after Whitman et al. 2001; Mandel & Ellis 2005)."""

from typing import TYPE_CHECKING

from crnn_bench.baselines import Baseline
from crnn_bench.features import Feature
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.plugins import refuse_unless_above

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class MfccSVM(Baseline):
    """An RBF SVM on the mean and standard deviation of each coefficient over a slice, or over a whole song."""

    space = {"C": {"loguniform": [0.1, 1000.0]}}

    def __init__(self, n_mfcc: int = 20, C: float = 10.0) -> None:
        self.n_mfcc = n_mfcc
        self.C = C
        refuse_unless_above(self, C=0)

    @property
    def features(self) -> Feature:
        return Mfcc(n_mfcc=self.n_mfcc)

    def classifier(self, seed: int) -> "BaseEstimator":
        from sklearn.svm import SVC

        return SVC(C=self.C, gamma="scale", break_ties=True, random_state=seed)
