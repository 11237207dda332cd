"""Split strategies: one file each; a strategy says which track trains, validates and tests."""

import math
from abc import ABC, abstractmethod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench.errors import BenchError

TOLD = 10  # labels that an error names before it counts the others


class SplitStrategy(ABC):
    """Assigns tracks to parts, deterministically in the generator that it is given.

    Attributes:
        fold: which fold of `n_folds`; `None` stands for all of them, one cell each.
        group: what must not straddle the test part and the rest: `track_id`, `album` or `artist`.
        validation_group: the same between training and validation.
    """

    fold: int | None = None
    n_folds: int = 1
    group: str = "track_id"
    validation_group: str = "track_id"

    @abstractmethod
    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        """Returns `train`, `validation` or `test` for each row of the catalogue (missing: used by no part).

        Args:
            tracks: a catalogue's table, sorted by `track_id`.
            rng: the only source of randomness.

        Raises:
            BenchError: the split is impossible; names the label.
        """


def groups(tracks: pd.DataFrame, group: str) -> pd.Series:
    """Names what each track has to stay together with; one of an unknown artist is a group of its own.

    Args:
        tracks: a catalogue's table.
        group: `track_id`, `album` (of an artist) or `artist`.
    """
    if group == "album":
        return tracks["artist"] + "/" + tracks["album"]
    return tracks["artist"].where(tracks["artist"] != "", tracks["track_id"]) if group == "artist" else tracks[group]


def stratified_sample(labels: pd.Series, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Marks ceil(fraction * n) tracks, in proportion to the labels and at least one of each.

    The total is scikit-learn's, so 10% of artist20's 1,413 songs are the 142 of Nasrullah & Zhao (2019).
    """
    codes, names = pd.factorize(labels, sort=True)
    counts = np.bincount(codes)
    total = max(math.ceil(fraction * len(labels)), len(names))
    quota = counts * (total / len(labels))
    take = np.maximum(np.floor(quota).astype(int), 1)
    while take.sum() != total:  # largest remainders, ties to the first label
        step = 1 if take.sum() < total else -1
        room = quota - take if step > 0 else np.where(take > 1, take - quota, -np.inf)
        take[int(np.argmax(room))] += step
    marked = np.zeros(len(labels), dtype=bool)
    for code, number in enumerate(take):
        marked[rng.permutation(np.flatnonzero(codes == code))[:number]] = True
    return marked


def require(tracks: pd.DataFrame, column: str, least: int, what: str) -> None:
    """Raises `BenchError` with the name of a track without a value in a column, or of each label with too few of them.

    Args:
        tracks: a catalogue's table.
        column: `track_id`, `album` or `artist`.
        least: number of different values that each label needs.
        what: the strategy, for the message.
    """
    if column == "artist" and (tracks["artist"] == "").all():
        raise BenchError(f"{what} needs artists, but this dataset names none; split by songs, or add a column artist")
    names = groups(tracks, column) if column == "artist" else tracks[column]
    without = tracks[names == ""]
    if len(without):
        raise BenchError(f"{what} needs to know the album of every song, but {without['track_id'].iloc[0]} has none")
    unlike = names.groupby(tracks["label"]).nunique().sort_index()
    lacking = [f"{label} has {number}" for label, number in unlike.items() if number < least]
    if lacking:
        told = lacking if len(lacking) <= TOLD else [*lacking[:TOLD], f"{len(lacking) - TOLD} more have too few"]
        hint = "; where the labels are the artists themselves, split by albums or by songs"
        raise BenchError(
            f"{what} needs at least {least} {column.removesuffix('_id')}s a label, but {'; '.join(told)}"
            + (hint if column == "artist" else "")
        )


def deal_folds(labels: pd.Series, items: pd.Series, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deals each label's items (songs or albums), shuffled, to folds 0 to k-1 in turn.

    Args:
        labels, items: of each track, shape (n,).

    Returns:
        Fold of each track, shape (n,); an item lies in one fold; fold sizes differ by at most one item a label.
    """
    folds = np.empty(len(labels), dtype=np.int64)
    turn = 0
    for label in sorted(labels.unique()):
        mine = (labels == label).to_numpy()
        order = rng.permutation(np.sort(items[mine].unique().astype(str)))
        fold_of = {item: (turn + position) % k for position, item in enumerate(order)}
        folds[mine] = [fold_of[item] for item in items[mine]]
        turn += len(order)
    return folds


def deal_artists(tracks: pd.DataFrame, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deals whole artists to folds 0 to k-1, so that each label's songs are spread as evenly as its artists allow.

    Args:
        tracks: a catalogue's table.
        k: at most the number of artists of any label.

    Returns:
        Fold of each track, shape (n,).
    """
    from sklearn.model_selection import StratifiedGroupKFold

    dealer = StratifiedGroupKFold(k, shuffle=True, random_state=int(rng.integers(2**31)))
    labels, artists = (pd.factorize(names, sort=True)[0] for names in (tracks["label"], groups(tracks, "artist")))
    folds = np.empty(len(tracks), dtype=np.int64)
    for fold, (_, dealt) in enumerate(dealer.split(labels, labels, artists)):
        folds[dealt] = fold
    return folds


def assign_folds(labels: pd.Series, folds: NDArray[np.int64], k: int, test: int, rng: np.random.Generator) -> pd.Series:
    """Fold `test` tests, the next one validates, the others train.

    With k = 2 nothing would be left to train on, so a stratified tenth of the other fold's songs validates.
    """
    part = pd.Series(np.where(folds == test, "test", "train"), index=labels.index)
    if k > 2:
        part[folds == (test + 1) % k] = "validation"
    else:
        rest = labels.index[part == "train"]
        part[rest[stratified_sample(labels[rest], 0.1, rng)]] = "validation"
    return part


def check_fold(name: str, k: int, fold: int | None, least: int) -> None:
    """Raises `BenchError` for a number of folds or a fold that cannot be."""
    if k < least:
        raise BenchError(f"{name}: k must be at least {least}, got {k}")
    if fold is not None and not 0 <= fold < k:
        raise BenchError(f"{name}: fold must lie between 0 and {k - 1}, got {fold}")
