"""How long slices should be."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crnn_bench.figures import seconds_axis, style, with_legend

LEGEND_LETTERS = 44
DASHES = {"song": "-", "slice": ":"}
APART = 0.012  # of the axis, so that bars at one length do not hide each other


def draw(table: pd.DataFrame) -> Figure:
    """Draws weighted F1 by clip length with intervals as bars: a colour a group, songs as lines, slices as dots.

    Args:
        table: `group` (text), `clip_seconds, level` (slice or song), `mean, low, high`.
    """
    groups = list(dict.fromkeys(table["group"]))
    figure, axes, names = with_legend(groups, LEGEND_LETTERS)
    width = np.log(table["clip_seconds"].max() / table["clip_seconds"].min())
    for index, (group, name) in enumerate(zip(groups, names, strict=True)):
        colour, marker = style(index)
        for level, dashes in DASHES.items():
            rows = table[(table["group"] == group) & (table["level"] == level)]
            moved = rows["clip_seconds"] * np.exp(width * APART * (index - (len(groups) - 1) / 2))
            bars = np.nan_to_num([rows["mean"] - rows["low"], rows["high"] - rows["mean"]])
            axes.errorbar(
                moved, rows["mean"], yerr=bars, color=colour, marker=marker, markersize=4, linestyle=dashes,
                elinewidth=0.8, capsize=2, label=name if level == "song" else None,
            )  # fmt: skip
    for level, dashes in DASHES.items():
        axes.plot([], [], color="grey", linestyle=dashes, label=f"per {level}")
    seconds_axis(axes, sorted(set(table["clip_seconds"])))
    axes.set(ylim=(0, 1.02), xlabel="seconds of a slice", ylabel="weighted F1 on test songs")
    axes.grid(color="#e5e5e5", linewidth=0.6)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure
