"""The plain power spectrogram in decibels, equal to librosa's."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import spectra
from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song


class Stft(Feature):
    """Power of each frequency in decibels: ref 1.0, amin 1e-10, at most `top_db` below the song's peak.

    Equals `librosa.power_to_db(abs(librosa.stft(...)) ** 2, top_db=top_db)`.
    """

    decibels = True

    def __init__(
        self, sample_rate: int = 16000, n_fft: int = 2048, hop_samples: int = 512, top_db: float = 80.0
    ) -> None:
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.top_db = top_db
        refuse_below(self, sample_rate=1, n_fft=2, hop_samples=1, top_db=0)

    @property
    def n_bins(self) -> int:
        return self.n_fft // 2 + 1

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, n_fft // 2 + 1) decibels."""
        import librosa

        power = spectra.power(song, self.n_fft, self.hop_samples)
        decibels: NDArray[np.float32] = librosa.power_to_db(power, top_db=self.top_db)
        return decibels.T
