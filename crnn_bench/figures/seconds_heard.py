"""How much of a song has to be heard."""

import pandas as pd
from matplotlib.figure import Figure

from crnn_bench.figures import seconds_axis, style, with_legend

LEGEND_LETTERS = 44
MOST_BANDS = 4  # more of them hide the lines
TICKS = (1, 3, 5, 10, 20, 30, 60, 120, 240, 600)


def draw(table: pd.DataFrame) -> Figure:
    """Draws weighted F1 of songs by the seconds heard of them, a line a group, in a band of its interval.

    Args:
        table: `group` (text), `seconds_heard, f1, low, high`.
    """
    groups = list(dict.fromkeys(table["group"]))
    figure, axes, names = with_legend(groups, LEGEND_LETTERS)
    for index, (group, name) in enumerate(zip(groups, names, strict=True)):
        colour, marker = style(index)
        rows = table[table["group"] == group]
        axes.plot(rows["seconds_heard"], rows["f1"], color=colour, marker=marker, markersize=4, label=name)
        if len(groups) <= MOST_BANDS:
            axes.fill_between(rows["seconds_heard"], rows["low"], rows["high"], color=colour, alpha=0.13, linewidth=0)
    seconds_axis(axes, TICKS)
    axes.set(ylim=(0, 1.02), xlabel="seconds heard of a song (last: all of it)", ylabel="weighted F1 on test songs")
    axes.grid(color="#e5e5e5", linewidth=0.6)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure
