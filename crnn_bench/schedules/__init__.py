"""Learning-rate schedules: one file each, named by the word that swaps them in from the YAML."""

from abc import ABC, abstractmethod
from collections.abc import Sequence


class Schedule(ABC):
    """The learning rate over a training, as a factor of `trainer.learning_rate`.

    Args:
        max_epochs: of the training.
        warmup_epochs: over which the rate rises linearly from 0, before the schedule begins (Goyal et al. 2017).
        patience: of early stopping, in epochs.
    """

    def __init__(self, max_epochs: int, warmup_epochs: int, patience: int) -> None:
        self.max_epochs = max_epochs
        self.warmup_epochs = warmup_epochs
        self.patience = patience

    def rate(self, epochs: float, losses: Sequence[float]) -> float:
        """The factor of a training step.

        Args:
            epochs: passed in the middle of the step; 0.5 in the middle of the first epoch.
            losses: of the validation part after each epoch so far.
        """
        if epochs < self.warmup_epochs:
            return epochs / self.warmup_epochs
        left = self.max_epochs - self.warmup_epochs
        return self.factor(epochs - self.warmup_epochs, left, losses[self.warmup_epochs :])

    @abstractmethod
    def factor(self, epochs: float, of: float, losses: Sequence[float]) -> float:
        """The same after the warm-up, of which `epochs`, `of` (all of them) and `losses` know nothing."""
