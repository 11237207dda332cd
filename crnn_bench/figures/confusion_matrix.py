"""Which class was taken for which."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from crnn_bench.figures import DOTS_PER_INCH

MOST_CLASSES = 32  # whose numbers are written; of more, the colours tell
INCHES = 0.46  # of a cell with numbers
LEAST_INCHES = 0.16  # of one without
MOST_LETTERS = 24


def draw(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> Figure:
    """Draws a confusion matrix, (true, predicted): in a cell the count above its share of the row, the colour."""
    figure = _unsolved(counts, tuple(classes), title)
    figure.set_layout_engine("none")
    for axes, place in zip(figure.axes, _places(tuple(classes)), strict=True):
        axes.set_position(place)
    return figure


@cache
def _places(classes: tuple[str, ...]) -> list[Bbox]:
    """Where the axes lie for the room that the names take; to solve that takes as long as to draw the rest."""
    n = len(classes)
    figure = _unsolved(np.zeros((n, n), dtype=np.int64), classes, "Title")
    figure.set_dpi(DOTS_PER_INCH)
    figure.draw_without_rendering()
    return [axes.get_position(original=True) for axes in figure.axes]


def _unsolved(counts: NDArray[np.int64], classes: tuple[str, ...], title: str) -> Figure:
    written = len(classes) <= MOST_CLASSES
    size = 2.2 + (INCHES if written else LEAST_INCHES) * len(classes)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts > 0) if written else ():
        colour = "white" if shares[row, column] > 0.55 else "black"
        text = f"{counts[row, column]}\n{shares[row, column]:.2f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7, linespacing=1.1)
    names = [label if len(label) <= MOST_LETTERS else f"{label[: MOST_LETTERS - 1]}…" for label in classes]
    letters = 8 if written else 6
    axes.set_xticks(range(len(classes)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=letters)
    axes.set_yticks(range(len(classes)), names, fontsize=letters)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    return figure
