"""Mel-frequency cepstral coefficients, equal to librosa's."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.features.log_mel import LogMel
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song


class Mfcc(Feature):
    """The first `n_mfcc` coefficients of the orthonormal DCT-II of a log-mel frame, as `librosa.feature.mfcc`.

    Stored as float16: coefficient 0, some hundreds, is kept to 0.25 (0.5 near silence), the others to 0.06.
    """

    sample_rate: int

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
        return self.n_mfcc

    @property
    def versions(self) -> list[int]:
        return [*super().versions, LogMel.version]

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, n_mfcc)."""
        from scipy.fft import dct

        log_mel = LogMel(self.sample_rate, self.n_fft, self.hop_samples, self.n_mels).compute(song)
        coefficients: NDArray[np.float32] = dct(log_mel, axis=1, type=2, norm="ortho")[:, : self.n_mfcc]
        return coefficients
