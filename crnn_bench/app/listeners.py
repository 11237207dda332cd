"""How well playlists foretell what listeners play, who are made up from a library's labels.

A listener's taste is a distribution of labels from a Dirichlet; each play draws a label by it, and one of its songs by
popularity, which falls off as 1/rank (Zipf). Half of the songs that were played are held out; the lists are made from
the others and see nothing but what the model says of them. The labels tell only what listeners play, and how far the
labels of a list are from their taste.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import resampling
from crnn_bench.app import neighbours, selection, taste
from crnn_bench.app.neighbours import units
from crnn_bench.app.selection import Limits
from crnn_bench.errors import BenchError
from crnn_bench.seeds import generator
from crnn_bench.songs import Songs
from crnn_bench.terminal import say, show, table_of

LISTENERS = 200
PLAYS = 60  # of each
CONCENTRATION = 0.3  # of the Dirichlet: below 1, few labels have most of the plays
VARIETIES = (0.0, 0.3, 0.6, 1.0)
RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST = 3  # times as many songs as a list has
MEASURES = ("hit rate", "divergence", "diversity", "similarity")


@dataclass(frozen=True)
class Listener:
    """Somebody who plays songs of a library.

    Attributes:
        taste: (labels,) shares of plays, summing to 1.
        plays: (songs,) of those that are told; 0 for all others.
        held_out: positions of the songs that are played, too, but not told.
    """

    taste: NDArray[np.float64]
    plays: NDArray[np.float64]
    held_out: NDArray[np.int64]


def draw(labels: NDArray[np.int64], number: int, seed: int = 0) -> list[Listener]:
    """Makes listeners up; all find the same songs popular.

    Args:
        labels: (songs,) numbers from 0.
        number: of listeners.
        seed: another one makes up others.
    """
    rng = generator(seed, "listeners")
    popularity = 1 / (1 + rng.permutation(len(labels)))
    within = np.array([popularity * (labels == label) for label in range(labels.max() + 1)])
    within /= within.sum(axis=1, keepdims=True)
    made: list[Listener] = []
    while len(made) < number:
        liked = rng.dirichlet(np.full(len(within), CONCENTRATION))
        plays = rng.multinomial(PLAYS, liked @ within).astype(float)
        played = rng.permutation(np.flatnonzero(plays))
        if len(played) > 1:
            held_out = played[: len(played) // 2]
            plays[held_out] = 0
            made.append(Listener(liked, plays, np.sort(held_out)))
    return made


def evaluate(
    songs: Songs, length: int, varieties: Sequence[float] = VARIETIES, number: int = LISTENERS
) -> pd.DataFrame:
    """One row a way to make lists: `lists, hit rate, divergence, diversity, similarity`, and each one's `low`, `high`.

    *Hit rate*: share of the held-out songs in the list; of as many as fit in. *Divergence*: of the list's labels from
    the taste's, Jensen–Shannon's in bits, 0 to 1. *Diversity*: mean of 1 − cosine over pairs of the list. *Similarity*:
    mean cosine to the closest song that was told. Intervals of 95% are over listeners alone: the library is given.

    Songs of one artist are limited only in the rows that say so, for here artists are the labels, and tastes consist of
    them. Random songs and the most popular (by all listeners' told plays) are never told ones, either.

    Songs without a label are left out.

    Raises:
        BenchError: the songs have fewer than two labels, or hardly fill a list, so that all lists would be the same.
    """
    songs = songs.where((songs.table["label"] != "").to_numpy())
    labels, names = pd.factorize(songs.table["label"], sort=True)
    if len(names) < 2:
        raise BenchError("listeners are made up from labels; the library needs songs of two artists' folders at least")
    if len(songs) < FEWEST * length:
        raise BenchError(
            f"lists of {length} from {len(songs)} songs would be nearly the same, however they are made; it takes "
            f"{FEWEST} songs that the model does not know for each one of a list, so give a smaller "
            "--length or more songs"
        )
    crowd = draw(labels, number)
    plays = np.sum([one.plays for one in crowd], axis=0)
    rng = generator(0, "random lists")
    silent = Songs(songs.table.assign(path=""), songs.vectors, songs.probabilities, songs.classes)  # not compared
    near = neighbours.build(silent.vectors)

    def best(scores: NDArray[np.float64], one: Listener) -> NDArray[np.int64]:
        return np.argsort(np.where(one.plays > 0, np.inf, -scores), kind="stable")[
            : min(length, (one.plays == 0).sum())
        ]

    def ours(variety: float, limits: Limits) -> Callable[[Listener], NDArray[np.int64]]:
        def choose(one: Listener) -> NDArray[np.int64]:
            told = taste.of(silent.where(one.plays > 0), one.plays[one.plays > 0])
            return selection.select(silent, told, length, variety, near, limits).positions

        return choose

    usual, loose = selection.usual_limits(length), Limits(length, length)
    ways = {
        "random": lambda one: best(rng.random(len(songs)), one),
        "most popular": lambda one: best(plays - one.plays, one),
        **{f"variety {variety:g}": ours(variety, loose) for variety in varieties},
        f"variety {varieties[0]:g}, limited artists and albums": ours(varieties[0], usual),
    }
    directions = units(songs.vectors)
    rows = []
    for name, way in ways.items():
        measured = [_measured(way(one), one, labels, directions, length) for one in crowd]
        rows.append({"lists": name, **_with_intervals(np.array(measured))})
    return pd.DataFrame(rows)


def _measured(
    chosen: NDArray[np.int64], one: Listener, labels: NDArray[np.int64], directions: NDArray[np.float32], length: int
) -> tuple[float, ...]:
    hits = np.isin(chosen, one.held_out).sum() / min(length, len(one.held_out))
    shares = np.bincount(labels[chosen], minlength=len(one.taste)) / max(1, len(chosen))
    cosines = directions[chosen] @ directions[chosen].T
    pairs = cosines[np.triu_indices(len(chosen), 1)]
    told = directions[chosen] @ directions[one.plays > 0].T
    return float(hits), divergence(shares, one.taste), float(1 - pairs.mean()), float(told.max(axis=1).mean())


def divergence(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Jensen–Shannon divergence of two distributions, in bits, 0 to 1 (Lin, IEEE Trans. Inf. Theory 37, 1991)."""
    from scipy.stats import entropy

    middle = (first + second) / 2
    return float(entropy(first, middle, base=2) + entropy(second, middle, base=2)) / 2


def _with_intervals(measured: NDArray[np.float64]) -> dict[str, float]:
    """Means over listeners, (listeners, measures), and the bounds of their bootstrap."""
    weights = resampling.weights([np.arange(len(measured))], RESAMPLES, generator(0, "bootstrap"))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(weights @ measured / len(measured), [tail, 1 - tail], axis=0)
    row: dict[str, float] = {}
    for number, name in enumerate(MEASURES):
        row |= {name: measured[:, number].mean(), f"{name} low": low[number], f"{name} high": high[number]}
    return row


def report(songs: Songs, length: int, variety: float) -> pd.DataFrame:
    """Evaluates, prints the table, and returns it.

    Args:
        songs: with labels.
        length: of the lists.
        variety: is looked at, too.
    """
    found = evaluate(songs, length, sorted({*VARIETIES, variety}), LISTENERS)
    texts = pd.DataFrame({"lists": found["lists"]})
    for name in MEASURES:
        numbers = zip(found[name], found[f"{name} low"], found[f"{name} high"], strict=True)
        texts[name] = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in numbers]
    n_labels = songs.table["label"].nunique()
    say(f"{LISTENERS} listeners made up from {len(songs)} songs of {n_labels} labels, lists of {length}")
    show(table_of(texts, MEASURES))
    say("mean [95% interval over listeners]; divergence of labels from the taste in bits, diversity as 1 − cosine")
    return found
