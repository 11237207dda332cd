"""Halving on a plateau."""

from collections.abc import Sequence

from crnn_bench.schedules import Schedule


class Plateau(Schedule):
    """Halves the rate whenever the validation loss has not fallen for half of early stopping's patience.

    As torch's `ReduceLROnPlateau(factor=0.5, patience=max(1, patience // 2) - 1, threshold=0)`.
    """

    def factor(self, epochs: float, of: float, losses: Sequence[float]) -> float:
        factor, best, waited = 1.0, float("inf"), 0
        for loss in losses:
            best, waited = (loss, 0) if loss < best else (best, waited + 1)
            if waited == max(1, self.patience // 2):
                factor, waited = factor / 2, 0
        return factor
