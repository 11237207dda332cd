"""Songs played louder or softer."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.deformations import Deformation
from crnn_bench.plugins import refuse_outside
from crnn_bench.song import Song


def amplified(song: Song, decibels: float) -> NDArray[np.float32]:
    """(n,) by another gain; what goes beyond full scale is clipped there, as in any file of whole numbers."""
    samples: NDArray[np.float32] = np.clip(song.samples * np.float32(10 ** (decibels / 20)), -1, 1)
    return samples


class Gain(Deformation):
    """Another loudness; a loud song clips when it is made louder, which is more than a gain.

    Args:
        decibels: above 0 louder, below 0 softer.
    """

    unit = "dB"
    undeformed = 0.0

    def __init__(self, decibels: tuple[float, ...] = (-20.0, -10.0, 10.0, 20.0)) -> None:
        self.decibels = decibels
        refuse_outside(self, "decibels", -60, 60)
        super().__init__({gain: Form(amplified, (gain,)) for gain in decibels})
