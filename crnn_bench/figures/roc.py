"""True by false positives."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from crnn_bench.figures.class_curves import Curves, panels


def draw(curves: Mapping[str, Curves]) -> Figure:
    """Draws receiver operating characteristics, one panel a level, with the areas under them.

    Args:
        curves: by title of a panel, the classes' curves and the combined ones: false positives, true ones, area.
    """
    figure, found = panels(curves, "area under the curve")
    for axes in found:
        axes.axline((0, 0), slope=1, color="grey", linestyle=":", linewidth=1)
        axes.set(xlabel="false positives", ylabel="true positives")
    return figure
