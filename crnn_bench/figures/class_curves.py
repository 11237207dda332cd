"""Curves of each class against the rest, and of all of them together."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crnn_bench.figures import PALETTE

NAME_LETTERS = 30
COMBINED, BEST, WORST = (PALETTE[7], PALETTE[0]), PALETTE[2], PALETTE[5]

Curve = tuple[NDArray[np.float64], NDArray[np.float64], float]
Curves = tuple[Mapping[str, Curve], Mapping[str, Curve]]


def panels(curves: Mapping[str, Curves], area: str, **line: Any) -> tuple[Figure, list[Axes]]:
    """Draws classes in thin grey, the best and the worst of them named, and thick what combines them.

    Args:
        curves: by title of a panel, the classes' curves and the combined ones.
        area: what the area under a curve is called.
        line: how lines are drawn.
    """
    figure = Figure(figsize=(4.6 * len(curves), 6), layout="constrained")
    found = list(figure.subplots(1, len(curves), squeeze=False)[0])
    for axes, (title, (classes, combined)) in zip(found, curves.items(), strict=True):
        by_area = sorted(classes, key=lambda name: classes[name][2])
        for x, y, _ in classes.values():
            axes.plot(x, y, color="#bbbbbb", linewidth=0.7, **line)
        for (name, (x, y, under)), colour in zip(combined.items(), COMBINED, strict=False):
            axes.plot(x, y, color=colour, linewidth=2.4, label=f"{name}: {under:.3f}", **line)
        named = {"best": (by_area[-1:], BEST, "--"), "worst": (by_area[:1] if len(by_area) > 1 else [], WORST, "-.")}
        for word, (names, colour, dashes) in named.items():
            for name in names:
                x, y, under = classes[name]
                label = textwrap.shorten(f"{word}: {name}", NAME_LETTERS, placeholder="…") + f": {under:.3f}"
                axes.plot(x, y, dashes, color=colour, linewidth=1.4, label=label, **line)
        if len(by_area) > 2:
            axes.plot([], [], color="#bbbbbb", linewidth=0.7, label=f"the other {len(by_area) - 2} classes")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), title=title)
        axes.set_box_aspect(1)
        axes.grid(color="#e5e5e5", linewidth=0.6)
        below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12)}
        axes.legend(title=area, fontsize=8, title_fontsize=8, frameon=False, **below)
    return figure, found
