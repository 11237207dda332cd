"""What a network hears in the course of songs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crnn_bench.figures import PALETTE

MOST_COLOURS = len(PALETTE) - 1  # the last, black, is none for an area
MOST_STEPS = 300  # more could not be told apart in print; neighbouring slices are averaged

Heard = tuple[NDArray[np.float64], float, NDArray[np.float64]]


def draw(songs: Mapping[str, Heard], classes: Sequence[str]) -> Figure:
    """Draws probabilities over minutes, stacked up to 1, one panel a song.

    The classes that are most probable over all songs have colours of their own; the rest is grey.

    Args:
        songs: by name, the slices' starts (n,) in s, their length in s, and their probabilities (n, classes).
        classes: names.
    """
    means = np.mean([probabilities.mean(axis=0) for _, _, probabilities in songs.values()], axis=0)
    ranked = np.argsort(-means, kind="stable")
    shown = ranked if len(ranked) <= MOST_COLOURS else ranked[: MOST_COLOURS - 1]
    names = [classes[index] for index in shown]
    colours = list(PALETTE[: len(shown)])
    if len(shown) < len(classes):
        names.append(f"{len(classes) - len(shown)} others")
        colours.append("lightgrey")
    figure = Figure(figsize=(9, 0.6 + 2.0 * len(songs)), layout="constrained")
    panels = figure.subplots(len(songs), squeeze=False)[:, 0]
    for axes, (name, (starts, seconds, probabilities)) in zip(panels, songs.items(), strict=True):
        edges, steps = _steps(starts, seconds, probabilities)
        layers = steps[:, shown].T
        if len(shown) < len(classes):
            layers = np.vstack([layers, np.clip(1 - layers.sum(axis=0), 0, 1)])
        areas = axes.stackplot(np.repeat(edges, 2)[1:-1] / 60, np.repeat(layers, 2, axis=1), colors=colours, lw=0)
        axes.set(xlim=(0, edges[-1] / 60), ylim=(0, 1), ylabel="probability")
        axes.set_title(name, fontsize=9)
    panels[-1].set_xlabel("minutes")
    figure.legend(areas[::-1], names[::-1], loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _steps(
    starts: NDArray[np.float64], seconds: float, probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges in s, (steps + 1,), and mean probabilities between them, (steps, classes)."""
    first = np.unique(np.linspace(0, len(starts), min(len(starts), MOST_STEPS) + 1)[:-1].astype(int))
    counts = np.diff([*first, len(starts)])
    means = np.add.reduceat(probabilities, first, axis=0) / counts[:, None]
    return np.append(starts[first], starts[-1] + seconds), means
