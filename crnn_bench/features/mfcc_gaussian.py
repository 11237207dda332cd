"""A song's timbre as one Gaussian of its MFCCs (after Mandel & Ellis, ISMIR 2005)."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song


class MfccGaussian(Feature):
    """Mean and covariance over time of the first `n_mfcc` coefficients: one row a song.

    The symmetric covariance, of the frames that there are, is kept once: its upper triangle, row by row.
    """

    sample_rate: int
    dtype = np.float32
    is_table = True

    def __init__(
        self,
        sample_rate: int = 16000,
        n_mfcc: int = 20,
        n_fft: int = 2048,
        hop_samples: int = 512,
        n_mels: int = 128,
    ) -> None:
        self.sample_rate = sample_rate
        self.n_mfcc = n_mfcc
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.n_mels = n_mels
        refuse_below(self, sample_rate=1, n_mfcc=1, n_fft=2, hop_samples=1, n_mels=n_mfcc)

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
        return [*self._mfcc.versions, self.version]

    @property
    def _mfcc(self) -> Mfcc:
        return Mfcc(self.sample_rate, self.n_mfcc, self.n_fft, self.hop_samples, self.n_mels)

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1, n_mfcc + n_mfcc * (n_mfcc + 1) / 2)."""
        frames = self._mfcc.compute(song).astype(np.float64)
        mean = frames.mean(axis=0)
        deviation = frames - mean
        covariance = np.einsum("ti,tj->ij", deviation, deviation) / len(frames)  # the same with any number of threads
        row = np.concatenate([mean, covariance[np.triu_indices(self.n_mfcc)]])
        return row[np.newaxis].astype(np.float32)
