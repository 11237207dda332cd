"""The 57 numbers that describe a song in the table that usually comes with the GTZAN genre collection."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import descriptors, spectra
from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song
from crnn_bench.spectra import HOP_SAMPLES, N_FFT

VALUES = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    "harmony",
    "perceptr",
)
COEFFICIENTS = tuple(f"mfcc{number}" for number in range(1, 21))


class GtzanTable(Feature):
    """Mean and variance of librosa features and of both parts of the sound, and its tempo: one row a song.

    `harmony` and `perceptr` are the samples' harmonic and percussive parts; columns are in the published order.
    """

    dtype = np.float32
    is_table = True
    hop_samples = HOP_SAMPLES

    def __init__(self, sample_rate: int = 22050) -> None:
        self.sample_rate = sample_rate
        refuse_below(self, sample_rate=1)

    @property
    def n_bins(self) -> int:
        return len(self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        before, after = (
            tuple(f"{name}_{statistic}" for name in names for statistic in ("mean", "var"))
            for names in (VALUES, COEFFICIENTS)
        )
        return (*before, "tempo", *after)

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1, 57)."""
        import librosa

        harmonic = spectra.harmonic(song, N_FFT, HOP_SAMPLES)
        values: list[NDArray[np.floating]] = [
            descriptors.chroma(song, N_FFT, HOP_SAMPLES, 12),
            librosa.feature.rms(y=song.samples),
            descriptors.centroid(song, N_FFT, HOP_SAMPLES),
            descriptors.bandwidth(song, N_FFT, HOP_SAMPLES),
            descriptors.rolloff(song, N_FFT, HOP_SAMPLES),
            descriptors.zero_crossing_rate(song, N_FFT, HOP_SAMPLES),
            harmonic,
            song.samples - harmonic,  # the two parts' masks sum to 1
        ]
        coefficients = list(descriptors.mfcc(song, N_FFT, HOP_SAMPLES, len(COEFFICIENTS)))
        row = [*_moments(values), _tempo(song), *_moments(coefficients)]
        return np.array([row], dtype=np.float32)


def _moments(values: list[NDArray[np.floating]]) -> list[float]:
    """Mean and variance of each, in turns."""
    return [float(moment) for array in values for moment in (array.mean(), array.var())]


def _tempo(song: Song) -> float:
    """Beats a minute, as `librosa.beat.beat_track` finds them; 0 where nothing begins."""
    import librosa

    decibels = spectra.log_mel(song, N_FFT, HOP_SAMPLES)
    onsets = librosa.onset.onset_strength(S=decibels, sr=song.sample_rate, aggregate=np.median)
    if not onsets.any():
        return 0.0
    return float(librosa.feature.tempo(onset_envelope=onsets, sr=song.sample_rate).item())
