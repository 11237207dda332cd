"""Songs in other keys."""

from crnn_bench.alterations import pitch_shifted
from crnn_bench.altered import Form
from crnn_bench.deformations import Deformation
from crnn_bench.plugins import refuse_outside


class Pitch(Deformation):
    """Another key at the same tempo, by a phase vocoder; formants move along.

    Args:
        semitones: up, or below 0 down.
    """

    unit = "semitones"
    undeformed = 0.0

    def __init__(self, semitones: tuple[float, ...] = (-4.0, -2.0, 2.0, 4.0)) -> None:
        self.semitones = semitones
        refuse_outside(self, "semitones", -24, 24)
        super().__init__({number: Form(pitch_shifted, (number,)) for number in semitones})
