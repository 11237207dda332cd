"""What can be done to a whole song: for training (`augmentations`), and to test what was trained (`deformations`)."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import drawn_from
from crnn_bench.song import Song


def noisy(song: Song, snr_decibels: float) -> NDArray[np.float32]:
    """(n,) with white noise at this ratio of the song's power to the noise's; drawn from the samples themselves."""
    noise = drawn_from(song).standard_normal(len(song.samples))
    powers = np.square(song.samples, dtype=np.float64).mean() / np.square(noise).mean()
    noise *= np.sqrt(powers) * 10 ** (-snr_decibels / 20)
    samples: NDArray[np.float32] = song.samples + noise.astype(np.float32)
    return samples


def pitch_shifted(song: Song, semitones: float) -> NDArray[np.float32]:
    """(n,) as `librosa.effects.pitch_shift`."""
    import librosa

    samples: NDArray[np.float32] = librosa.effects.pitch_shift(song.samples, sr=song.sample_rate, n_steps=semitones)
    return samples


def time_stretched(song: Song, rate: float) -> NDArray[np.float32]:
    """(round(n / rate),) by a phase vocoder, as `librosa.effects.time_stretch`."""
    import librosa

    samples: NDArray[np.float32] = librosa.effects.time_stretch(song.samples, rate=rate)
    return samples
