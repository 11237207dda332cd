"""The transforms of a song that several features rest on, each computed once a song and set of parameters.

Spectra are (bins, frames) as in librosa, whose numbers they equal; in memory each frame lies in one piece.
"""

import warnings
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from crnn_bench.median import sliding_median
from crnn_bench.song import Song

N_FFT = 2048
HOP_SAMPLES = 512
N_MELS = 128
MEDIAN_WIDTH = 31  # of harmonic-percussive separation, in frames and in bins
PITCHES_HZ = (150.0, 4000.0)  # the range in which tuning is heard
LEAST_CQT_RATE = 8600  # Hz; the highest constant-Q filter, half a semitone sharp, still fits below half of it

P = ParamSpec("P")
T = TypeVar("T")


def once_a_song(compute: Callable[Concatenate[Song, P], T]) -> Callable[Concatenate[Song, P], T]:
    """Lets the song remember what a function of it and of some parameters gives; do not write into the result."""

    @wraps(compute)
    def known(song: Song, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return song.once((compute, args, tuple(kwargs.items())), lambda: compute(song, *args, **kwargs))

    return known


@once_a_song
def stft(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.complex64]:
    """(n_fft // 2 + 1, frames); Hann window, centred with zeros."""
    import librosa

    spectrum: NDArray[np.complex64] = librosa.stft(song.samples, n_fft=n_fft, hop_length=hop_samples)
    return spectrum


@once_a_song
def magnitude(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.float32]:
    """(n_fft // 2 + 1, frames)."""
    magnitudes: NDArray[np.float32] = np.abs(stft(song, n_fft, hop_samples))
    return magnitudes


@once_a_song
def power(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.float32]:
    """(n_fft // 2 + 1, frames)."""
    squares: NDArray[np.float32] = np.square(magnitude(song, n_fft, hop_samples))
    return squares


@once_a_song
def log_mel(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.float32]:
    """(128, frames) decibels, at most 80 below the peak; as the feature LogMel, but from the shared spectrum."""
    import librosa

    mel = _mel_filters(song.sample_rate, n_fft) @ power(song, n_fft, hop_samples)
    decibels: NDArray[np.float32] = librosa.power_to_db(mel)
    return decibels


@once_a_song
def cqt(song: Song, hop_samples: int, bins_per_octave: int) -> NDArray[np.float32]:
    """Constant-Q magnitudes of 7 octaves from C1, (7 * bins_per_octave, frames), tuned to the song."""
    import librosa

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=")  # the shortest songs are shorter than C1's filter
        spectrum: NDArray[np.complex64] = librosa.cqt(
            song.samples,
            sr=song.sample_rate,
            hop_length=hop_samples,
            n_bins=7 * bins_per_octave,
            bins_per_octave=bins_per_octave,
            tuning=tuning(magnitude(song, N_FFT, HOP_SAMPLES), song.sample_rate, bins_per_octave),
        )
    magnitudes: NDArray[np.float32] = np.abs(spectrum)
    return magnitudes


@once_a_song
def harmonic(song: Song, n_fft: int, hop_samples: int) -> NDArray[np.float32]:
    """The harmonic part of the samples, (n,), as `librosa.effects.hpss`; the percussive part is what it leaves.

    Fitzgerald (DAFx 2010): medians along time keep what lasts, medians along frequency what clicks.
    """
    import librosa

    spectrum, frames = stft(song, n_fft, hop_samples).T, magnitude(song, n_fft, hop_samples).T
    lasting = sliding_median(np.ascontiguousarray(frames.T), MEDIAN_WIDTH).T
    clicking = sliding_median(np.ascontiguousarray(frames), MEDIAN_WIDTH)
    samples: NDArray[np.float32] = librosa.istft(
        (spectrum * _share(lasting, clicking)).T, n_fft=n_fft, hop_length=hop_samples, length=len(song.samples)
    )
    return samples


def tuning(spectrum: NDArray[np.float32], sample_rate: float, bins_per_octave: int) -> float:
    """How far a song is off 440 Hz, in bins of -0.5 to 0.5, as `librosa.estimate_tuning(S=spectrum)`.

    librosa interpolates every bin of every frame; here only the peaks are.
    """
    import librosa

    n_fft = 2 * (len(spectrum) - 1)
    lowest, highest = np.searchsorted(librosa.fft_frequencies(sr=sample_rate, n_fft=n_fft), PITCHES_HZ)
    first, last = max(1, int(lowest)), min(int(highest), len(spectrum) - 1)
    frames = np.ascontiguousarray(spectrum.T)
    below, here, above = (frames[:, first + shift : last + shift] for shift in (-1, 0, 1))
    loud = np.float32(0.1) * frames.max(axis=1, keepdims=True)
    peaks = np.nonzero((here > below) & (here >= above) & (here > loud))
    a, b, c = below[peaks], here[peaks], above[peaks]
    curvature, slope = c + a - 2 * b, (c - a) / 2
    inside = np.abs(slope) < np.abs(curvature)
    shift = np.where(inside, -slope / np.where(inside, curvature, 1), 0)
    heights = b + np.float32(0.5) * slope * shift
    pitches = (peaks[1] + first + shift) * sample_rate / n_fft
    if not len(pitches):
        return 0.0
    loudest = pitches[heights >= np.median(heights)]
    return float(librosa.pitch_tuning(loudest, bins_per_octave=bins_per_octave))


def _share(wanted: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Wiener mask of the squares, half where both are zero; scaled by the larger, whose square may be below float32."""
    larger = np.maximum(wanted, other)
    silent = larger < np.finfo(np.float32).tiny
    larger[silent] = 1
    wanted, other = np.square(wanted / larger), np.square(other / larger)
    wanted[silent] = other[silent] = 1
    return wanted / (wanted + other)


@lru_cache(maxsize=8)
def _mel_filters(sample_rate: float, n_fft: int) -> Any:
    """(128, n_fft // 2 + 1), sparse: fast, and equal to the last bit whatever the number of threads."""
    import librosa
    from scipy.sparse import csr_array

    return csr_array(librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=N_MELS))
