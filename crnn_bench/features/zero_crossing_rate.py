"""The rate of zero crossings, equal to librosa's."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import descriptors
from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song


class ZeroCrossingRate(Feature):
    """The share of a frame's samples at which the sign changes, as `librosa.feature.zero_crossing_rate`."""

    def __init__(self, sample_rate: int = 16000, frame_samples: int = 2048, hop_samples: int = 512) -> None:
        self.sample_rate = sample_rate
        self.frame_samples = frame_samples
        self.hop_samples = hop_samples
        refuse_below(self, sample_rate=1, frame_samples=2, hop_samples=1)

    @property
    def n_bins(self) -> int:
        return 1

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, 1) from 0 to 1."""
        return descriptors.zero_crossing_rate(song, self.frame_samples, self.hop_samples).T.astype(np.float32)
