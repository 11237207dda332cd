"""Songs with hiss."""

from crnn_bench.alterations import noisy
from crnn_bench.altered import Form
from crnn_bench.deformations import Deformation
from crnn_bench.plugins import refuse_outside


class Noise(Deformation):
    """White noise over the whole song, drawn from its samples; silence stays silent.

    Args:
        snr_decibels: ratios of the song's power to the noise's.
    """

    unit = "dB SNR"

    def __init__(self, snr_decibels: tuple[float, ...] = (30.0, 20.0, 10.0, 0.0)) -> None:
        self.snr_decibels = snr_decibels
        refuse_outside(self, "snr_decibels", -60, 90)
        super().__init__({ratio: Form(noisy, (ratio,)) for ratio in snr_decibels})
