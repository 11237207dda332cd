"""Loudness as the root of the mean square, equal to librosa's."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song


class Rms(Feature):
    """The root of the mean square of each frame's samples, as `librosa.feature.rms`."""

    def __init__(self, sample_rate: int = 16000, frame_samples: int = 2048, hop_samples: int = 512) -> None:
        self.sample_rate = sample_rate
        self.frame_samples = frame_samples
        self.hop_samples = hop_samples
        refuse_below(self, sample_rate=1, frame_samples=2, hop_samples=1)

    @property
    def n_bins(self) -> int:
        return 1

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, 1) from 0 to about 1."""
        import librosa

        loudness: NDArray[np.float32] = librosa.feature.rms(
            y=song.samples, frame_length=self.frame_samples, hop_length=self.hop_samples
        )
        return loudness.T
