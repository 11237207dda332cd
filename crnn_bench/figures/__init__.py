"""Figures: one file each; each draws what evaluation found, and returns a matplotlib figure."""

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["text.parse_math"] = False  # names of files and artists may hold dollar signs

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe & Ito's colours, which colour-blind readers can tell apart; beyond eight classes markers change, too."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def style(index: int) -> tuple[str, str]:
    """Colour and marker of a class: 64 distinct pairs."""
    return PALETTE[index % len(PALETTE)], MARKERS[index // len(PALETTE) % len(MARKERS)]
