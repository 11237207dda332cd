"""The bottleneck in two dimensions, as in Nasrullah & Zhao (2019), train and test points marked apart."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from crnn_bench.figures import style

MOST_POINTS = 1000  # of slices; the paper draws all 32,657, which takes minutes and shows no more
PERPLEXITY = 30.0


def draw(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    tested: NDArray[np.bool_],
    classes: Sequence[str],
    what: str,
) -> Figure:
    """Draws t-SNE (scikit-learn's defaults) of bottleneck vectors.

    Args:
        vectors: (points, width).
        labels: (points,) class numbers.
        tested: (points,) whether a point is of the test part.
        classes: names.
        what: `slices` or `songs`, for the title.
    """
    chosen = np.random.default_rng(0).permutation(len(vectors))[:MOST_POINTS]
    points = _project(vectors[chosen])
    number = f"{len(vectors):,}" if len(chosen) == len(vectors) else f"{len(chosen):,} of {len(vectors):,}"
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    axes = figure.subplots()
    for index in range(len(classes)):
        colour, marker = style(index)
        for test, size, alpha, edge in ((False, 12, 0.35, "none"), (True, 34, 1.0, "black")):
            mine = points[(labels[chosen] == index) & (tested[chosen] == test)]
            axes.scatter(
                mine[:, 0], mine[:, 1], s=size, c=colour, marker=marker, alpha=alpha, edgecolors=edge, linewidths=0.7
            )
    axes.set(xticks=[], yticks=[], title=f"Bottleneck t-SNE of {number} {what}")
    handles = [_handle(*style(index), name, "none") for index, name in enumerate(classes)]
    handles += [_handle("lightgrey", "o", "train, validation", "none"), _handle("lightgrey", "o", "test", "black")]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    return figure


def _project(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    points: NDArray[np.float32] = TSNE(perplexity=perplexity, random_state=0).fit_transform(vectors)
    return points


def _handle(colour: str, marker: str, label: str, edge: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle="", label=label, markeredgecolor=edge)
