"""Precision by recall."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from crnn_bench.figures.class_curves import Curves, panels


def draw(curves: Mapping[str, Curves]) -> Figure:
    """Draws precision–recall curves, one panel a level, with their average precisions.

    Args:
        curves: by title of a panel, the classes' curves and the combined ones: recall, precision, area.
    """
    figure, found = panels(curves, "average precision", drawstyle="steps-pre")
    for axes in found:
        axes.set(xlabel="recall", ylabel="precision")
    return figure
