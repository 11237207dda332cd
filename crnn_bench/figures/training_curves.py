"""Losses over the epochs."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crnn_bench.figures import PALETTE

TRAINING, VALIDATION = PALETTE[0], PALETTE[5]
History = Sequence[Mapping[str, float]]


def draw(runs: Sequence[tuple[History, int]], title: str = "Training") -> Figure:
    """Draws training and validation loss of one run or more; a ring marks the epoch whose weights were kept.

    Args:
        runs: histories, one entry an epoch, and the best epoch of each.
        title: of the figure.
    """
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for number, (history, best) in enumerate(runs):
        epochs = [epoch["epoch"] for epoch in history]
        for what, name, colour, line in (
            ("train_loss", "training", TRAINING, "o-"),
            ("validation_loss", "validation", VALIDATION, "s--"),
        ):
            label = name if number == 0 else None
            axes.plot(epochs, [e[what] for e in history], line, color=colour, label=label, markersize=4, linewidth=1.2)
        kept = {epoch["epoch"]: epoch["validation_loss"] for epoch in history}.get(best)
        if kept is not None:
            label = "epoch that was kept" if number == 0 else None
            axes.plot(best, kept, "o", markersize=11, fillstyle="none", color="black", label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="cross-entropy (nats)", title=title)
    axes.legend(frameon=False, fontsize=8)
    return figure
