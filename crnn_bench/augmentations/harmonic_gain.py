"""Songs whose lasting tones are louder or quieter."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import spectra
from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration
from crnn_bench.plugins import refuse_outside
from crnn_bench.song import Song


def harmonic_raised(song: Song, decibels: float) -> NDArray[np.float32]:
    """(n,) with another gain on the harmonic part; the percussive part stays."""
    harmonic = spectra.harmonic(song, spectra.N_FFT, spectra.HOP_SAMPLES)
    return song.samples + np.float32(10 ** (decibels / 20) - 1) * harmonic


class HarmonicGain(Alteration):
    """More or less of what lasts, as `spectra.harmonic` separates it.

    Args:
        decibels: gains of the harmonic part.
        probability: that a slice comes from one of them.
    """

    def __init__(self, decibels: tuple[float, ...] = (-6.0, 6.0), probability: float = 0.5) -> None:
        self.decibels = decibels
        refuse_outside(self, "decibels", -60, 60)
        super().__init__(probability, tuple(Form(harmonic_raised, (gain,)) for gain in decibels))
