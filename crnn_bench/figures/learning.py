"""How fast networks learn, side by side."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crnn_bench.figures import style, with_legend

LEGEND_LETTERS = 44
MOST_BANDS = 8  # more of them hide the lines


def draw(curves: pd.DataFrame) -> Figure:
    """Draws mean validation accuracy by epoch, in the band of its 95% interval; dotted where runs have stopped.

    Args:
        curves: `group` (text), `epoch` (from 1), `mean`, `low`, `high`, and `whole`: whether all runs got that far.
    """
    groups = list(dict.fromkeys(curves["group"]))
    figure, axes, names = with_legend(groups, LEGEND_LETTERS)
    for index, (group, name) in enumerate(zip(groups, names, strict=True)):
        colour, marker = style(index)
        rows = curves[curves["group"] == group]
        whole = rows[rows["whole"]]
        rest = rows[rows["epoch"] >= whole["epoch"].max()]
        axes.plot(whole["epoch"], whole["mean"], color=colour, marker=marker, markersize=4, label=name)
        axes.plot(rest["epoch"], rest["mean"], ":", color=colour)
        if len(groups) <= MOST_BANDS:
            axes.fill_between(whole["epoch"], whole["low"], whole["high"], color=colour, alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="validation accuracy per slice")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure
