"""Chroma: how strongly each pitch class sounds, equal to librosa's."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import descriptors
from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song


class Chroma(Feature):
    """The power of each of `n_chroma` pitch classes, tuned to the song, the largest of a frame being 1.

    Equals `librosa.feature.chroma_stft`.
    """

    def __init__(self, sample_rate: int = 16000, n_fft: int = 2048, hop_samples: int = 512, n_chroma: int = 12) -> None:
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.n_chroma = n_chroma
        refuse_below(self, sample_rate=1, n_fft=2, hop_samples=1, n_chroma=1)

    @property
    def n_bins(self) -> int:
        return self.n_chroma

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, n_chroma) from 0 to 1."""
        return descriptors.chroma(song, self.n_fft, self.hop_samples, self.n_chroma).T
