"""Songs in other keys."""

from crnn_bench.alterations import pitch_shifted
from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration
from crnn_bench.plugins import refuse_outside


class PitchShift(Alteration):
    """Another key at the same tempo; formants move along.

    Args:
        semitones: up, or below 0 down.
        probability: that a slice comes from one of them.
    """

    def __init__(self, semitones: tuple[float, ...] = (-1.0, 1.0), probability: float = 0.5) -> None:
        self.semitones = semitones
        refuse_outside(self, "semitones", -24, 24)
        super().__init__(probability, tuple(Form(pitch_shifted, (number,)) for number in semitones))
