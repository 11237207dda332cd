"""Scores on deformed test songs, a panel a deformation."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crnn_bench.figures import style

LEGEND_LETTERS = 60
MOST_COLUMNS = 3
MOST_BANDS = 4  # more of them hide the lines


def draw(curves: pd.DataFrame) -> Figure:
    """Draws weighted F1 against strength, each group's in the band of its interval; dotted where songs are as they are.

    Args:
        curves: of one level: `group` (text), `deformation`, `strength` (NaN for songs as they are), `unit`, `level`,
            `f1`, `low`, `high`; in the order of the axis.
    """
    deformations = list(dict.fromkeys(curves["deformation"]))
    groups = list(dict.fromkeys(curves["group"]))
    columns = min(MOST_COLUMNS, len(deformations))
    lines = -(-len(deformations) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.6, 2.7 * lines + 0.4 + 0.22 * len(groups)), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axes, deformation in zip(panels, deformations, strict=False):
        _panel(axes, curves[curves["deformation"] == deformation], groups)
    for axes in panels[len(deformations) :]:
        axes.remove()
    for axes in panels[::columns]:
        axes.set_ylabel(f"weighted F1 per {curves['level'].iloc[0]}")
    handles, _ = panels[0].get_legend_handles_labels()
    names = [textwrap.fill(group, LEGEND_LETTERS) for group in groups]
    figure.legend(handles, names, loc="outside lower left", frameon=False, fontsize=8)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, groups: list[str]) -> None:
    strengths = list(dict.fromkeys(rows["strength"].fillna(np.inf)))
    for index, group in enumerate(groups):
        colour, marker = style(index)
        mine = rows[rows["group"] == group]
        places = [strengths.index(strength) for strength in mine["strength"].fillna(np.inf)]
        axes.plot(places, mine["f1"], color=colour, marker=marker, markersize=4, label=group)
        if len(groups) <= MOST_BANDS:
            axes.fill_between(places, mine["low"], mine["high"], color=colour, alpha=0.15, linewidth=0)
    axes.axvline(strengths.index(np.inf), color="#888888", linestyle=":", linewidth=1, zorder=0)
    ticks = ["as it is" if strength == np.inf else f"{strength:g}" for strength in strengths]
    axes.set_xticks(range(len(strengths)), ticks, fontsize=8)
    axes.set(title=rows["deformation"].iloc[0], xlabel=rows["unit"].iloc[0], ylim=(0, 1))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
