"""Weighted F1 of every group of cells, side by side."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crnn_bench.figures import PALETTE

LABEL_LETTERS = 56


def draw(summary: pd.DataFrame) -> Figure:
    """Draws mean weighted F1 per slice and per song; whiskers are the standard deviation over seeds.

    Args:
        summary: `group` (text), `level` (slice or song), `mean`, `std`.
    """
    groups = list(dict.fromkeys(summary["group"]))
    names = [textwrap.fill(group, LABEL_LETTERS) for group in groups]
    lines = max(name.count("\n") + 1 for name in names)
    figure = Figure(figsize=(9, 1.2 + max(0.55, 0.16 * lines) * len(groups)), layout="constrained")
    axes = figure.subplots()
    for offset, (level, colour) in enumerate(zip(("slice", "song"), PALETTE, strict=False)):
        rows = summary[summary["level"] == level].set_index("group").reindex(groups)
        places = np.arange(len(groups)) + 0.38 * (offset - 0.5)
        axes.barh(places, rows["mean"], 0.36, xerr=rows["std"], color=colour, label=f"per {level}", capsize=2)
    axes.set_yticks(range(len(groups)), names, fontsize=8)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="weighted F1 on test songs (mean and deviation over seeds)")
    figure.legend(frameon=False, fontsize=8, loc="outside upper right", ncols=2)
    return figure
