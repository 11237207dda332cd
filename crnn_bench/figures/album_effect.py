"""What scores owe to known albums, side by side."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crnn_bench.figures import MARKERS, PALETTE

LABEL_LETTERS = 40
NUMBERS = ("artist", "song_split", "album_split", "effect", "low", "high")


def draw(effects: pd.DataFrame) -> Figure:
    """Draws each classifier's effect with its interval, and each artist's as a small dot.

    Args:
        effects: of one level: what tells classifiers apart, `artist` (blank: all of them), `effect`, `low`, `high`.
    """
    effects = effects.assign(artist=effects["artist"].fillna(""))
    called = _called(effects[[name for name in effects if name not in NUMBERS]].fillna("").astype(str))
    groups = list(dict.fromkeys(called))
    figure = Figure(figsize=(8, 1.3 + 0.45 * len(groups)), layout="constrained")
    axes = figure.subplots()
    place = called.map({group: index for index, group in enumerate(groups)}).to_numpy()
    alone = (effects["artist"] != "").to_numpy()
    offsets = 0.12 + 0.16 * (np.arange(len(effects)) % 3)  # so that like dots do not hide each other
    axes.plot(
        effects["effect"][alone], (place + offsets)[alone], linestyle="", marker=MARKERS[0], markersize=3,
        color=PALETTE[1], label="an artist",
    )  # fmt: skip
    whole = effects[~alone]
    whiskers = np.nan_to_num(np.clip([whole["effect"] - whole["low"], whole["high"] - whole["effect"]], 0, None))
    axes.errorbar(
        whole["effect"], place[~alone], xerr=whiskers, linestyle="", marker=MARKERS[1], capsize=3, color=PALETTE[0],
        label="all artists, 95% interval",
    )  # fmt: skip
    axes.axvline(0, color="grey", linestyle=":")
    axes.set_yticks(range(len(groups)), [textwrap.fill(group, LABEL_LETTERS) for group in groups], fontsize=8)
    axes.set(ylim=(len(groups) - 0.4, -0.5), xlabel="F1 on a split by songs, less that on a split by albums")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    figure.legend(frameon=False, fontsize=8, loc="outside upper right", ncols=2)
    return figure


def _called(words: pd.DataFrame) -> pd.Series:
    """Each row by what tells it apart, arguments with their names; its model, where nothing does."""
    telling = [name for name in words if len(set(words[name])) > 1] or ["model"]
    named = {name: f"{name.rpartition('.')[2].replace('_', ' ')} " if "." in name else "" for name in telling}
    rows = words[telling].to_dict("records")
    texts = ["; ".join(named[str(name)] + word for name, word in row.items() if word) for row in rows]
    return pd.Series(texts, index=words.index)
