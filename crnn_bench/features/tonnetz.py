"""The tonal centroid (Harte, Sandler & Gasser 2006), equal to librosa's."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import spectra
from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song

BINS_PER_OCTAVE = 36


class Tonnetz(Feature):
    """Where a frame's pitch classes lie on the circles of fifths, minor thirds and major thirds: two numbers each.

    Equals `librosa.feature.tonnetz`, which hears them in a constant-Q transform tuned to the song.
    """

    def __init__(self, sample_rate: int = 16000, hop_samples: int = 512) -> None:
        self.sample_rate = sample_rate
        self.hop_samples = hop_samples
        refuse_below(self, sample_rate=spectra.LEAST_CQT_RATE, hop_samples=1)

    @property
    def n_bins(self) -> int:
        return 6

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, 6) from -1 to 1."""
        import librosa

        constant_q = spectra.cqt(song, self.hop_samples, BINS_PER_OCTAVE)
        chroma = librosa.feature.chroma_cqt(C=constant_q, bins_per_octave=BINS_PER_OCTAVE)
        return librosa.feature.tonnetz(chroma=chroma).T.astype(np.float32)
