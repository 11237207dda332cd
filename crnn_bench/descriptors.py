"""What music analysis reads from a song's spectra frame by frame, each computed once a song and set of parameters.

Everything is (values, frames) as in librosa, whose numbers it equals. Sums are taken by `einsum`: the last bits of a
matrix product depend on how many threads share it.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crnn_bench import spectra
from crnn_bench.song import Song
from crnn_bench.spectra import once_a_song

CONTRAST_BANDS = 7  # octaves from 200 Hz, and all below
LEAST_CONTRAST_RATE = 12801  # Hz; the highest band begins at 6400 Hz
CONTRAST_SHARE = 0.02  # of a band's bins, the loudest and the quietest
CROSSING_THRESHOLD = 1e-10  # quieter samples have no sign


@once_a_song
def chroma(song: Song, n_fft: int, hop_samples: int, n_chroma: int) -> NDArray[np.float32]:
    """(n_chroma, frames), the largest of a frame 1, as `librosa.feature.chroma_stft`."""
    import librosa

    power = spectra.power(song, n_fft, hop_samples)
    tuning = spectra.tuning(power, song.sample_rate, n_chroma)
    filters = librosa.filters.chroma(sr=song.sample_rate, n_fft=n_fft, tuning=tuning, n_chroma=n_chroma)
    sums = np.einsum("cf,ft->ct", filters, power)
    classes: NDArray[np.float32] = librosa.util.normalize(sums, norm=np.inf, axis=0)
    return classes


@once_a_song
def _moments(song: Song, n_fft: int, hop_samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each frame's magnitudes over frequency, each (1, frames); 0 where it is silent."""
    import librosa

    magnitude = spectra.magnitude(song, n_fft, hop_samples).astype(np.float64)
    frequencies = librosa.fft_frequencies(sr=song.sample_rate, n_fft=n_fft)
    total, first, second = np.einsum("pf,ft->pt", [frequencies**power for power in range(3)], magnitude)
    total[total < np.finfo(np.float32).tiny] = np.inf  # silence
    centre = first / total
    return centre[np.newaxis], np.maximum(second / total - centre**2, 0)[np.newaxis]


def centroid(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.float64]:
    """(1, frames) in Hz, as `librosa.feature.spectral_centroid`."""
    return _moments(song, n_fft, hop_samples)[0]


def bandwidth(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.float64]:
    """(1, frames) in Hz, as `librosa.feature.spectral_bandwidth`."""
    deviation: NDArray[np.float64] = np.sqrt(_moments(song, n_fft, hop_samples)[1])
    return deviation


@once_a_song
def rolloff(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.float64]:
    """(1, frames) in Hz, below which 85% of the magnitudes lie, as `librosa.feature.spectral_rolloff`."""
    import librosa

    total = np.cumsum(spectra.magnitude(song, n_fft, hop_samples).T, axis=1)
    reached = (total >= np.float32(0.85) * total[:, -1:]).argmax(axis=1)
    frequencies: NDArray[np.float64] = librosa.fft_frequencies(sr=song.sample_rate, n_fft=n_fft)
    return frequencies[np.newaxis, reached]


@once_a_song
def contrast(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.float64]:
    """(7, frames) decibels between a band's peaks and its valleys, as `librosa.feature.spectral_contrast`."""
    import librosa

    frames = np.ascontiguousarray(spectra.magnitude(song, n_fft, hop_samples).T)
    frequencies = librosa.fft_frequencies(sr=song.sample_rate, n_fft=n_fft)
    edges = np.array([0.0, *(200.0 * 2.0 ** np.arange(CONTRAST_BANDS))])
    peaks, valleys = np.empty((2, CONTRAST_BANDS, len(frames)))
    for band, (low, high) in enumerate(pairwise(edges)):
        first = np.searchsorted(frequencies, low) - (band > 0)  # librosa lets bands overlap by a bin
        end = np.searchsorted(frequencies, high, side="right")
        last = band == CONTRAST_BANDS - 1
        end = len(frequencies) if last else end
        few = max(1, round(CONTRAST_SHARE * (end - first)))
        bins = frames[:, first : end if last else end - 1]
        split = np.partition(bins, (few - 1, bins.shape[1] - few), axis=1)
        valleys[band], peaks[band] = split[:, :few].mean(axis=1), split[:, -few:].mean(axis=1)
    decibels: NDArray[np.float64] = librosa.power_to_db(peaks) - librosa.power_to_db(valleys)
    return decibels


@once_a_song
def zero_crossing_rate(song: Song, frame_samples: int, hop_samples: int) -> NDArray[np.float64]:
    """(1, frames) changes of sign a sample, as `librosa.feature.zero_crossing_rate`; each change is found once."""
    samples = np.pad(song.samples, frame_samples // 2, mode="edge")
    negative = samples < -CROSSING_THRESHOLD
    changes = np.concatenate([[0], np.cumsum(negative[1:] != negative[:-1])])
    starts = np.arange(0, len(samples) - frame_samples + 1, hop_samples)
    rate: NDArray[np.float64] = (changes[starts + frame_samples - 1] - changes[starts]) / frame_samples
    return rate[np.newaxis]


@once_a_song
def mfcc(song: Song, n_fft: int, hop_samples: int, n_mfcc: int) -> NDArray[np.float32]:
    """(n_mfcc, frames), as `librosa.feature.mfcc`."""
    import librosa

    coefficients: NDArray[np.float32] = librosa.feature.mfcc(S=spectra.log_mel(song, n_fft, hop_samples), n_mfcc=n_mfcc)
    return coefficients
