"""Songs in two dimensions, by label and by cluster."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from crnn_bench.figures import style


def draw(
    pca: NDArray[np.float64],
    tsne: NDArray[np.float64],
    labels: NDArray[np.int64],
    clusters: NDArray[np.int64],
    classes: Sequence[str],
    explained: float,
    title: str,
) -> Figure:
    """Draws PCA above, t-SNE below, by label on the left, by cluster in the colour of the label it fits on the right.

    Args:
        pca, tsne: (songs, 2).
        labels, clusters: (songs,) numbers.
        classes: names of the labels.
        explained: share of the variance in the PCA plane.
        title: of the whole.
    """
    figure = Figure(figsize=(11, 9), layout="constrained")
    figure.suptitle(f"{title}\n(a cluster has the colour of the label that it fits best)")
    rows = ((pca, f"PCA ({explained:.0%} of the variance)"), (tsne, "t-SNE"))
    for axes_of_row, (points, name) in zip(figure.subplots(2, 2), rows, strict=True):
        for axes, groups, by in zip(
            axes_of_row,
            (labels, clusters),
            ("label", "k-means cluster"),
            strict=True,
        ):
            for index in np.unique(groups):
                colour, marker = style(int(index))
                mine = points[groups == index]
                axes.scatter(mine[:, 0], mine[:, 1], s=22, c=colour, marker=marker, alpha=0.8, linewidths=0)
            axes.set(xticks=[], yticks=[], title=f"{name}, by {by}")
    handles = [_handle(index, name) for index, name in enumerate(classes)]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False, title="labels")
    return figure


def _handle(index: int, name: str) -> Line2D:
    colour, marker = style(index)
    return Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
