"""Songs played faster and slower at the same pitch."""

from crnn_bench.alterations import time_stretched
from crnn_bench.altered import Form
from crnn_bench.deformations import Deformation
from crnn_bench.plugins import refuse_outside


class Tempo(Deformation):
    """Another tempo at the same pitch, by a phase vocoder, which smears what is sudden.

    A song gets shorter or longer, and gives fewer or more slices.

    Args:
        rates: from 0.25 to 4; above 1 faster, below 1 slower.
    """

    unit = "times as fast"
    undeformed = 1.0

    def __init__(self, rates: tuple[float, ...] = (0.7, 0.85, 1.15, 1.3)) -> None:
        self.rates = rates
        refuse_outside(self, "rates", 0.25, 4)
        super().__init__({rate: Form(time_stretched, (rate,)) for rate in rates})
