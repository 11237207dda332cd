"""Songs played at another speed."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration
from crnn_bench.plugins import refuse_outside
from crnn_bench.song import Song


def tempo_changed(song: Song, rate: float) -> NDArray[np.float32]:
    """(n / rate,) by resampling; pitches move by the same rate."""
    import soxr

    samples: NDArray[np.float32] = soxr.resample(song.samples, song.sample_rate * rate, song.sample_rate)
    return samples


class TempoChange(Alteration):
    """Another speed, tempo and pitch together, as a record that turns faster (speed perturbation, Ko et al. 2015).

    Args:
        rates: from 0.25 to 4; above 1 faster, shorter and higher, below 1 slower, longer and lower.
        probability: that a slice comes from one of them.
    """

    def __init__(self, rates: tuple[float, ...] = (0.9, 1.1), probability: float = 0.5) -> None:
        self.rates = rates
        refuse_outside(self, "rates", 0.25, 4)
        super().__init__(probability, tuple(Form(tempo_changed, (rate,)) for rate in rates))
