"""Deformations: one file each; test songs as a phone, a club or a bad copy would play them, weaker and stronger."""

import math
from collections.abc import Mapping

from crnn_bench.altered import Form


class Deformation:
    """Something that happens to a song between the studio and the listener, in several strengths.

    Attributes:
        unit: of a strength, as an axis says it.
        undeformed: the strength that leaves a song as it is: the stronger deformations lie on both sides of it, or
            below it where it is infinite.
        forms: by strength, the deformed song; from weak to strong, or upwards where they lie on both sides.
    """

    unit: str
    undeformed: float = math.inf
    forms: Mapping[float, Form]

    def __init__(self, forms: Mapping[float, Form]) -> None:
        order = sorted(forms, reverse=self.undeformed == math.inf)
        self.forms = {strength: forms[strength] for strength in order}

    @property
    def name(self) -> str:
        """Its heading in tables and figures; deformations of one experiment have names of their own."""
        return type(self).__name__

    def check(self, sample_rate: float) -> None:
        """Raises `BenchError` where songs of this sample rate, in Hz, cannot be deformed so."""
