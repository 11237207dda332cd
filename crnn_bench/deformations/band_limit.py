"""Songs of which only a band of frequencies is left."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.deformations import Deformation
from crnn_bench.errors import BenchError
from crnn_bench.plugins import refuse_outside
from crnn_bench.song import Song

ATTENUATION_DECIBELS = 80.0  # beyond the band: as much as a feature hears at all
TRANSITION = 0.1  # width of each edge, to its frequency


def band_limited(song: Song, hertz: float, low_hertz: float) -> NDArray[np.float32]:
    """(n,) through a filter without delay; each limit is where the amplitude is halved, in the middle of its edge."""
    from scipy.signal import firwin, kaiserord, oaconvolve

    limits = [limit for limit in (low_hertz, hertz) if limit > 0]
    edge = TRANSITION * min(limits) / (song.sample_rate / 2)
    taps, beta = kaiserord(ATTENUATION_DECIBELS, edge)
    kind = "bandpass" if low_hertz else "lowpass"
    kernel = firwin(taps | 1, limits, window=("kaiser", beta), pass_zero=kind, fs=song.sample_rate)
    samples: NDArray[np.float32] = oaconvolve(song.samples, kernel.astype(np.float32), "same")
    return samples


class BandLimit(Deformation):
    """Nothing above a frequency, as from a small loudspeaker; a telephone's band is `hertz: [3400], low_hertz: 300`.

    Args:
        hertz: upper limits of the band; below half the features' sample rate, or they would change nothing.
        low_hertz: its lower limit, if not 0.
    """

    unit = "Hz"

    def __init__(self, hertz: tuple[float, ...] = (4000.0, 2000.0, 1000.0, 500.0), low_hertz: float = 0.0) -> None:
        self.hertz = hertz
        self.low_hertz = low_hertz
        refuse_outside(self, "low_hertz", 0, 20000)
        refuse_outside(self, "hertz", max(50, 1.5 * low_hertz), 40000)
        super().__init__({limit: Form(band_limited, (limit, low_hertz)) for limit in hertz})

    @property
    def name(self) -> str:
        return type(self).__name__ + (f" from {self.low_hertz:g} Hz" if self.low_hertz else "")

    def check(self, sample_rate: float) -> None:
        """Refuses a limit that is none."""
        highest = max(self.hertz)
        if highest >= sample_rate / 2:
            what = f"{highest:g} Hz is no limit for features of songs at {sample_rate:g} Hz"
            raise BenchError(f"{self.name}: {what}; give one below {sample_rate / 2:g}")
