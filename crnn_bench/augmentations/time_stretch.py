"""Songs played faster and slower at the same pitch."""

from crnn_bench.alterations import time_stretched
from crnn_bench.altered import Form
from crnn_bench.augmentations import Alteration
from crnn_bench.plugins import refuse_outside


class TimeStretch(Alteration):
    """Another tempo at the same pitch.

    Args:
        rates: from 0.25 to 4; above 1 faster and shorter, below 1 slower and longer.
        probability: that a slice comes from one of them.
    """

    def __init__(self, rates: tuple[float, ...] = (0.9, 1.1), probability: float = 0.5) -> None:
        self.rates = rates
        refuse_outside(self, "rates", 0.25, 4)
        super().__init__(probability, tuple(Form(time_stretched, (rate,)) for rate in rates))
