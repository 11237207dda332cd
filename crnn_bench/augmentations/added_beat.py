"""Songs with a drum on the beat."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration
from crnn_bench.beats import beats
from crnn_bench.song import Song

DRUM_SECONDS = 0.15
DRUM_HERTZ = 60.0
LOUDNESS = 0.5  # of the drum's peak, to the song's


def drum(sample_rate: float) -> NDArray[np.float64]:
    """A deep tone and a short hiss that both die away, peak 1; the same each time."""
    time = np.arange(int(DRUM_SECONDS * sample_rate)) / sample_rate
    hiss = np.random.default_rng(0).uniform(-1, 1, len(time)) * np.exp(-time / 0.01)
    sound = np.sin(2 * np.pi * DRUM_HERTZ * time) * np.exp(-time / 0.04) + hiss
    struck: NDArray[np.float64] = sound / np.abs(sound).max()
    return struck


def with_beat(song: Song) -> NDArray[np.float32]:
    """(n,) with a drum on each beat that is found; a song without beats as it is."""
    import librosa

    found = beats(song)
    if not len(found):
        return song.samples
    sound, rate = drum(song.sample_rate) * LOUDNESS * np.abs(song.samples).max(), song.sample_rate
    drums = librosa.clicks(times=found / rate, sr=rate, click=sound, length=len(song.samples))
    samples: NDArray[np.float32] = song.samples + drums.astype(np.float32)
    return samples


class AddedBeat(Alteration):
    """The song with a synthetic drum on the beats that librosa finds.

    Args:
        probability: that a slice has it.
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability, (Form(with_beat),))
