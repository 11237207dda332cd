"""Losses over the epochs."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def draw(history: Sequence[Mapping[str, float]], best_epoch: int) -> Figure:
    """Draws training and validation loss; marks the epoch whose weights were kept."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    epochs = [epoch["epoch"] for epoch in history]
    axes.plot(epochs, [epoch["train_loss"] for epoch in history], "o-", color="#0072B2", label="training")
    axes.plot(epochs, [epoch["validation_loss"] for epoch in history], "s--", color="#D55E00", label="validation")
    axes.axvline(best_epoch, color="grey", linewidth=1, label=f"best epoch, {best_epoch}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="cross-entropy (nats)", title="Training")
    axes.legend(frameon=False)
    return figure
