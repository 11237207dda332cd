"""The 518 numbers that describe a song in the Free Music Archive's table (Defferrard et al., ISMIR 2017)."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import descriptors, spectra
from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song
from crnn_bench.spectra import HOP_SAMPLES, N_FFT

STATISTICS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")
VALUES = {
    "chroma_cens": 12,
    "chroma_cqt": 12,
    "chroma_stft": 12,
    "mfcc": 20,
    "rmse": 1,
    "spectral_bandwidth": 1,
    "spectral_centroid": 1,
    "spectral_contrast": 7,
    "spectral_rolloff": 1,
    "tonnetz": 6,
    "zcr": 1,
}
ROUNDING = 1e-6  # of the mean; a row that deviates less is constant: SciPy's rule for float32


class FmaTable(Feature):
    """Seven statistics over time of eleven librosa features: one row a song, columns in `features.csv`'s order.

    The definitions are those of the FMA project's `features.py`, with three departures: songs are resampled to
    `sample_rate`, where the published numbers were computed at each file's own; librosa has changed since; and the skew
    and kurtosis of a value that never changes are 0, not NaN, since classifiers need numbers.
    """

    dtype = np.float32
    is_table = True
    hop_samples = HOP_SAMPLES

    def __init__(self, sample_rate: int = 22050) -> None:
        self.sample_rate = sample_rate
        refuse_below(self, sample_rate=descriptors.LEAST_CONTRAST_RATE)

    @property
    def n_bins(self) -> int:
        return len(STATISTICS) * sum(VALUES.values())

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(
            f"{name} {statistic} {number:02}"
            for name, count in VALUES.items()
            for statistic in STATISTICS
            for number in range(1, count + 1)
        )

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1, 518)."""
        import librosa

        constant_q = spectra.cqt(song, HOP_SAMPLES, 12)
        magnitude = spectra.magnitude(song, N_FFT, HOP_SAMPLES)
        cens = librosa.feature.chroma_cens(C=constant_q, n_chroma=12, n_octaves=7, bins_per_octave=12)
        values = {
            "chroma_cens": cens,
            "chroma_cqt": librosa.feature.chroma_cqt(C=constant_q, n_chroma=12, n_octaves=7, bins_per_octave=12),
            "chroma_stft": descriptors.chroma(song, N_FFT, HOP_SAMPLES, 12),
            "mfcc": descriptors.mfcc(song, N_FFT, HOP_SAMPLES, 20),
            "rmse": librosa.feature.rms(S=magnitude),
            "spectral_bandwidth": descriptors.bandwidth(song, N_FFT, HOP_SAMPLES),
            "spectral_centroid": descriptors.centroid(song, N_FFT, HOP_SAMPLES),
            "spectral_contrast": descriptors.contrast(song, N_FFT, HOP_SAMPLES),
            "spectral_rolloff": descriptors.rolloff(song, N_FFT, HOP_SAMPLES),
            "tonnetz": librosa.feature.tonnetz(chroma=cens),
            "zcr": descriptors.zero_crossing_rate(song, N_FFT, HOP_SAMPLES),
        }
        return np.concatenate([_statistics(values[name]) for name in VALUES])[np.newaxis].astype(np.float32)


def _statistics(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """(values, frames) to (7 * values,), one statistic after another."""
    values = values.astype(np.float64)
    mean = values.mean(axis=1)
    deviation = values - mean[:, np.newaxis]
    square = deviation**2
    variance = square.mean(axis=1)
    constant = variance <= (ROUNDING * mean) ** 2
    safe = np.where(constant, 1, variance)
    return np.concatenate(
        [
            np.where(constant, 0, (square**2).mean(axis=1) / safe**2 - 3),
            values.max(axis=1),
            mean,
            np.median(values, axis=1),
            values.min(axis=1),
            np.where(constant, 0, (square * deviation).mean(axis=1) / safe**1.5),
            np.sqrt(variance),
        ]
    )
