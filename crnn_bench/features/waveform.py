"""Raw samples, for networks that learn their own features from them."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song

FRAMES_PER_SECOND = 50


class Waveform(Feature):
    """The samples themselves, in frames of 20 ms that do not overlap; what is left over at the end is dropped.

    Stored as float16, whose error is 73 dB below the signal down to a level of -60 dB full scale: less than what an
    MP3 adds, in half of float32's space.
    """

    def __init__(self, sample_rate: int = 16000) -> None:
        self.sample_rate = sample_rate
        refuse_below(self, sample_rate=FRAMES_PER_SECOND)
        self.hop_samples = sample_rate // FRAMES_PER_SECOND

    @property
    def n_bins(self) -> int:
        return self.hop_samples

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(n // hop_samples, hop_samples) in -1 to 1; do not write into them, they are the song's own."""
        whole = len(song.samples) // self.hop_samples * self.hop_samples
        return song.samples[:whole].reshape(-1, self.hop_samples)
