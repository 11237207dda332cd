"""The constant-Q spectrogram (Brown 1991) in decibels, equal to librosa's."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import spectra
from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song

BINS_PER_OCTAVE = 12


class Cqt(Feature):
    """A bin a semitone, seven octaves from C1, tuned to the song, at most `top_db` decibels below its peak.

    Equals `librosa.amplitude_to_db(abs(librosa.cqt(..., tuning=None)), top_db=top_db)`.
    """

    decibels = True

    def __init__(self, sample_rate: int = 16000, hop_samples: int = 512, top_db: float = 80.0) -> None:
        self.sample_rate = sample_rate
        self.hop_samples = hop_samples
        self.top_db = top_db
        refuse_below(self, sample_rate=spectra.LEAST_CQT_RATE, hop_samples=1, top_db=0)

    @property
    def n_bins(self) -> int:
        return 7 * BINS_PER_OCTAVE

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, 84) decibels."""
        import librosa

        constant_q = spectra.cqt(song, self.hop_samples, BINS_PER_OCTAVE)
        decibels: NDArray[np.float32] = librosa.amplitude_to_db(constant_q, top_db=self.top_db)
        return decibels.T
