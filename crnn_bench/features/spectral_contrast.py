"""Spectral contrast (Jiang et al., ICME 2002), equal to librosa's."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import descriptors
from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song


class SpectralContrast(Feature):
    """Decibels between the peaks and the valleys of seven bands: below 200 Hz, and octaves from there.

    Equals `librosa.feature.spectral_contrast`.
    """

    def __init__(self, sample_rate: int = 16000, n_fft: int = 2048, hop_samples: int = 512) -> None:
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        refuse_below(self, sample_rate=descriptors.LEAST_CONTRAST_RATE, n_fft=512, hop_samples=1)

    @property
    def n_bins(self) -> int:
        return descriptors.CONTRAST_BANDS

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, 7) decibels."""
        return descriptors.contrast(song, self.n_fft, self.hop_samples).T.astype(np.float32)
