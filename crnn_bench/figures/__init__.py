"""Figures: one file each; each draws what evaluation found, and returns a matplotlib figure."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

matplotlib.use("Agg")
matplotlib.rcParams["text.parse_math"] = False  # names of files and artists may hold dollar signs

DOTS_PER_INCH = 110
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe & Ito's colours, which colour-blind readers can tell apart; beyond eight classes markers change, too."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def style(index: int) -> tuple[str, str]:
    """Colour and marker of a class: 64 distinct pairs."""
    return PALETTE[index % len(PALETTE)], MARKERS[index // len(PALETTE) % len(MARKERS)]


def with_legend(groups: Sequence[str], letters: int) -> tuple[Figure, Any, list[str]]:
    """A figure with room for a legend beside it, its axes, and the groups' names in lines of so many letters."""
    names = [textwrap.fill(group, letters) for group in groups]
    lines = sum(name.count("\n") + 1 for name in names)
    figure = Figure(figsize=(10, max(4.2, 0.8 + 0.2 * lines)), layout="constrained")
    return figure, figure.subplots(), names


def seconds_axis(axes: Any, ticks: Sequence[float]) -> None:
    """Makes the x axis one of seconds, by their logarithms, marked at some of them."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
