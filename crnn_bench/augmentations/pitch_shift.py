"""Songs in other keys."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration, refuse_outside
from crnn_bench.song import Song


def pitch_shifted(song: Song, semitones: float) -> NDArray[np.float32]:
    """(n,) as `librosa.effects.pitch_shift`."""
    import librosa

    samples: NDArray[np.float32] = librosa.effects.pitch_shift(song.samples, sr=song.sample_rate, n_steps=semitones)
    return samples


class PitchShift(Alteration):
    """Another key at the same tempo; formants move along.

    Args:
        semitones: up, or below 0 down.
        probability: that a slice comes from one of them.
    """

    def __init__(self, semitones: tuple[float, ...] = (-1.0, 1.0), probability: float = 0.5) -> None:
        self.semitones = semitones
        refuse_outside(self, "semitones", -24, 24)
        super().__init__(probability, tuple(Form(pitch_shifted, (number,)) for number in semitones))
