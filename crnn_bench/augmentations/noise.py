"""Songs with hiss."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form, drawn_from
from crnn_bench.augmentations import Alteration, refuse_outside
from crnn_bench.song import Song


def noisy(song: Song, snr_decibels: float) -> NDArray[np.float32]:
    """(n,) with white noise at this ratio of the song's power to the noise's; drawn from the samples themselves."""
    noise = drawn_from(song).standard_normal(len(song.samples))
    powers = np.square(song.samples, dtype=np.float64).mean() / np.square(noise).mean()
    noise *= np.sqrt(powers) * 10 ** (-snr_decibels / 20)
    samples: NDArray[np.float32] = song.samples + noise.astype(np.float32)
    return samples


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
