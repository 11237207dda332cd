"""Cosine annealing."""

import math
from collections.abc import Sequence

from crnn_bench.schedules import Schedule


class Cosine(Schedule):
    """Half a cosine from the full rate down to 0 at the last epoch (Loshchilov & Hutter 2017), step by step.

    It only comes down where training is not stopped before: give `patience` as many epochs as `max_epochs`.
    """

    def factor(self, epochs: float, of: float, losses: Sequence[float]) -> float:
        return (1 + math.cos(math.pi * min(1.0, epochs / of))) / 2 if of else 1.0
