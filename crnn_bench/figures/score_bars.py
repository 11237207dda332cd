"""Weighted F1 of every group of cells, side by side."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crnn_bench.figures import MARKERS, PALETTE

LABEL_LETTERS = 56


def draw(scores: pd.DataFrame, chance: float) -> Figure:
    """Draws mean weighted F1 per slice and per song as points; whiskers are the interval, where there is one.

    Args:
        scores: `group` (text), `level` (slice or song), `mean`, `low`, `high`.
        chance: what guessing would give: a dotted line.
    """
    groups = list(dict.fromkeys(scores["group"]))
    names = [textwrap.fill(group, LABEL_LETTERS) for group in groups]
    lines = max(name.count("\n") + 1 for name in names)
    figure = Figure(figsize=(8, 1.3 + max(0.4, 0.16 * lines) * len(groups)), layout="constrained")
    axes = figure.subplots()
    for place in range(0, len(groups), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#f3f3f3", linewidth=0)
    for offset, level in ((0.16, "song"), (-0.16, "slice")):
        rows = scores[scores["level"] == level].set_index("group").reindex(groups)
        known = rows["mean"].notna().to_numpy()
        if not known.any():
            continue
        index = int(level == "slice")
        whiskers = np.clip([rows["mean"] - rows["low"], rows["high"] - rows["mean"]], 0, None)
        places = np.arange(len(groups)) - offset
        axes.errorbar(
            rows["mean"][known], places[known], xerr=np.nan_to_num(whiskers)[:, known], color=PALETTE[index],
            marker=MARKERS[index], linestyle="", capsize=3, label=f"per {level}",
        )  # fmt: skip
    axes.axvline(chance, color="grey", linestyle=":", label="guessing")
    axes.set_yticks(range(len(groups)), names, fontsize=8)
    axes.set(xlim=(0, 1.02), ylim=(len(groups) - 0.5, -0.5), xlabel="weighted F1 on test songs, with 95% intervals")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    figure.legend(frameon=False, fontsize=8, loc="outside upper right", ncols=3)
    return figure
