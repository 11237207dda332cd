"""Songs whose drums are louder or quieter."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import spectra
from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration
from crnn_bench.plugins import refuse_outside
from crnn_bench.song import Song


def percussive_raised(song: Song, decibels: float) -> NDArray[np.float32]:
    """(n,) with another gain on the percussive part; the harmonic part stays."""
    percussive: NDArray[np.float32] = song.samples - spectra.harmonic(song, spectra.N_FFT, spectra.HOP_SAMPLES)
    samples: NDArray[np.float32] = song.samples + np.float32(10 ** (decibels / 20) - 1) * percussive
    return samples


class PercussiveGain(Alteration):
    """More or less of what clicks: all that `spectra.harmonic` leaves.

    Args:
        decibels: gains of the percussive part.
        probability: that a slice comes from one of them.
    """

    def __init__(self, decibels: tuple[float, ...] = (-6.0, 6.0), probability: float = 0.5) -> None:
        self.decibels = decibels
        refuse_outside(self, "decibels", -60, 60)
        super().__init__(probability, tuple(Form(percussive_raised, (gain,)) for gain in decibels))
