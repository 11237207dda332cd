"""One artist's harmony over another's rhythm."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crnn_bench import spectra
from crnn_bench.altered import Form
from crnn_bench.augmentations import Augmentation, Example, Place, Training
from crnn_bench.plugins import refuse_outside
from crnn_bench.song import Song


def harmonic_part(song: Song) -> NDArray[np.float32]:
    """What lasts, (n,)."""
    return spectra.harmonic(song, spectra.N_FFT, spectra.HOP_SAMPLES)


def percussive_part(song: Song) -> NDArray[np.float32]:
    """What clicks, (n,)."""
    return song.samples - harmonic_part(song)


HARMONIC, PERCUSSIVE = Form(harmonic_part), Form(percussive_part)


class ShuffleAndRemix(Augmentation):
    """A slice's harmonic part and the percussive part of a random slice of another label; the label is the former's.

    After Hsieh et al. (2020), who lay an artist's vocals over others' accompaniments. The parts are stored as features
    of their own and are added as powers. In an altered form of a song, its parts are those of the song as it is.

    Args:
        probability: that a slice is remixed.
    """

    forms = (HARMONIC, PERCUSSIVE)
    needs_decibels = True
    replaces = True

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = probability
        refuse_outside(self, "probability", 0, 1)

    def change(self, example: Example, training: Training, rng: np.random.Generator) -> Example:
        """Remixes; where training knows one label alone, nothing happens."""
        others = training.of_other_labels[example.label]
        if rng.random() >= self.probability or not len(others):
            return example
        partner = int(others[rng.integers(len(others))])
        return replace(example, frames=self.remixed(example.place, partner, training))

    def remixed(self, place: Place, partner: int, training: Training) -> NDArray[np.float32]:
        """(length, bins) decibels of the place's harmonic and the partner's percussive part together."""
        harmonic = training.cut(training.moved(place, HARMONIC.key))
        percussive = training.cut(training.moved(training.place(partner), PERCUSSIVE.key))
        mixed: NDArray[np.float32] = 10 * np.log10(10 ** (harmonic / 10) + 10 ** (percussive / 10))
        return mixed
