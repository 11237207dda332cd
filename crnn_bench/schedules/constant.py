"""No schedule, as the paper trains."""

from collections.abc import Sequence

from crnn_bench.schedules import Schedule


class Constant(Schedule):
    """The learning rate stays as it is."""

    def factor(self, epochs: float, of: float, losses: Sequence[float]) -> float:
        return 1.0
