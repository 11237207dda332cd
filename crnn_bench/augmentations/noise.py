"""Songs with hiss."""

from crnn_bench.alterations import noisy
from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration
from crnn_bench.plugins import refuse_outside


class Noise(Alteration):
    """White noise over the whole song; silence stays silent.

    Args:
        snr_decibels: ratios of the song's power to the noise's.
        probability: that a slice comes from one of them.
    """

    def __init__(self, snr_decibels: tuple[float, ...] = (10.0, 20.0), probability: float = 0.5) -> None:
        self.snr_decibels = snr_decibels
        refuse_outside(self, "snr_decibels", -60, 60)
        super().__init__(probability, tuple(Form(noisy, (ratio,)) for ratio in snr_decibels))
