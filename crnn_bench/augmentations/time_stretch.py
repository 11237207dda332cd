"""Songs played faster and slower at the same pitch."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration, refuse_outside
from crnn_bench.song import Song


def time_stretched(song: Song, rate: float) -> NDArray[np.float32]:
    """(round(n / rate),) by a phase vocoder, as `librosa.effects.time_stretch`."""
    import librosa

    samples: NDArray[np.float32] = librosa.effects.time_stretch(song.samples, rate=rate)
    return samples


class TimeStretch(Alteration):
    """Another tempo at the same pitch.

    Args:
        rates: from 0.25 to 4; above 1 faster and shorter, below 1 slower and longer.
        probability: that a slice comes from one of them.
    """

    def __init__(self, rates: tuple[float, ...] = (0.9, 1.1), probability: float = 0.5) -> None:
        self.rates = rates
        refuse_outside(self, "rates", 0.25, 4)
        super().__init__(probability, tuple(Form(time_stretched, (rate,)) for rate in rates))
