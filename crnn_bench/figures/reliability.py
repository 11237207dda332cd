"""Whether a classifier is as often right as it says."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from crnn_bench.figures import style


def draw(levels: Mapping[str, pd.DataFrame]) -> Figure:
    """Draws accuracy by the probability of the answers; a point's area is its share of the answers.

    Args:
        levels: by name of a line, `confidence, accuracy, answers` of each bin.
    """
    figure = Figure(figsize=(5, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.axline((0, 0), slope=1, color="grey", linestyle=":", linewidth=1, label="as often right as it says")
    for index, (name, rows) in enumerate(levels.items()):
        colour, marker = style(index)
        shares = rows["answers"] / rows["answers"].sum()
        error = (shares * (rows["accuracy"] - rows["confidence"]).abs()).sum()
        axes.scatter(rows["confidence"], rows["accuracy"], 12 + 400 * shares, color=colour, marker=marker, alpha=0.6)
        label = f"{name}: calibration error {error:.3f}"
        axes.plot(rows["confidence"], rows["accuracy"], color=colour, marker=marker, markersize=3, lw=1, label=label)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="probability of the answer", ylabel="accuracy")
    axes.set_box_aspect(1)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    return figure
