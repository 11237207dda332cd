"""A song's timbre as one Gaussian of its MFCCs (after Mandel & Ellis, ISMIR 2005)."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features.mfcc import Mfcc
from crnn_bench.song import Song


class MfccGaussian(Mfcc):
    """Mean and covariance over time of the first `n_mfcc` coefficients: one row a song.

    The symmetric covariance, of the frames that there are, is kept once: its upper triangle, row by row.
    """

    dtype = np.float32
    is_table = True

    @property
    def n_bins(self) -> int:
        return self.n_mfcc + self.n_mfcc * (self.n_mfcc + 1) // 2

    @property
    def columns(self) -> tuple[str, ...]:
        names = [f"mfcc{number}" for number in range(1, self.n_mfcc + 1)]
        pairs = [f"{first} {second} covariance" for place, first in enumerate(names) for second in names[place:]]
        return (*(f"{name} mean" for name in names), *pairs)

    @property
    def versions(self) -> list[int]:
        return [*super().versions, Mfcc.version]

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1, n_mfcc + n_mfcc * (n_mfcc + 1) / 2)."""
        frames = super().compute(song).astype(np.float64)
        mean = frames.mean(axis=0)
        deviation = frames - mean
        covariance = np.einsum("ti,tj->ij", deviation, deviation) / len(frames)  # the same with any number of threads
        row = np.concatenate([mean, covariance[np.triu_indices(self.n_mfcc)]])
        return row[np.newaxis].astype(np.float32)
