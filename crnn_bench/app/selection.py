"""Which songs of a library go with a taste: close to it, unlike each other, in its proportions, none of them twice.

*Closeness* of a song is its agreement with single songs of the taste (or its centres), never with their mean, which
is the most generic music: reciprocal ranks, fused. The constant is 5, not 60 as in the paper, with which songs in the
middle of all seeds come before those that are like one of them.
*Variety* trades it against likeness to what is chosen already: maximal marginal relevance (Carbonell & Goldstein,
SIGIR 1998). At 0 the closest songs are chosen, at 1 those of a neighbourhood that differ the most.
*Proportions*: each of the model's classes gets its share of the list by largest remainders. On simulated listeners
(`listeners`) that is nearer to their taste than calibration of the mean probabilities (Steck, RecSys 2018), and finds
more of what they play; limits on artists and albums go first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench.app import copies
from crnn_bench.app.neighbours import Exact, Neighbours, units
from crnn_bench.app.taste import Taste
from crnn_bench.errors import BenchError
from crnn_bench.songs import Songs

POOL = 20  # candidates near each centre, for each song of the list
WIDER = 8  # times as many, where these do not suffice
REACH = 5  # songs that a place in the list is chosen among: the closest of their class
RANKED = 5.0  # added to ranks in their fusion
TIES = 1e-6  # of closeness, where variety leaves none of it
MOST_LIKED = 500  # songs of the taste that are all compared with the chosen ones; 117 songs take 0.4 s
LIKED_COMPARED = 25  # of more, those closest to each; a copy that is cut or quieter may lie far from its source


@dataclass(frozen=True)
class Limits:
    """How many songs of one artist and of one album a list may hold."""

    per_artist: int
    per_album: int


def usual_limits(length: int) -> Limits:
    """A fifth of the list by one artist and a tenth from one album, but two and one at least."""
    return Limits(max(2, -(-length // 5)), max(1, -(-length // 10)))


@dataclass(frozen=True)
class Selection:
    """What was chosen.

    Attributes:
        positions: in the library, in the order of choice.
        closeness: (songs,) to the taste, 0 to 1.
        notes: what the library did not allow, in words.
    """

    positions: NDArray[np.int64]
    closeness: NDArray[np.float64]
    notes: tuple[str, ...]


@dataclass
class _Pool:
    """Candidates, sorted by position.

    Attributes:
        positions: in the library.
        closeness: to the taste, at most 1.
        directions: unit vectors.
        classes: the most probable one of each.
        artists, albums: numbers; −1 where unknown.
        usable: False for songs of the taste, and for copies of those or of chosen ones.
    """

    positions: NDArray[np.int64]
    closeness: NDArray[np.float64]
    directions: NDArray[np.float32]
    classes: NDArray[np.int64]
    artists: NDArray[np.int64]
    albums: NDArray[np.int64]
    usable: NDArray[np.bool_]


def select(
    library: Songs, taste: Taste, length: int, variety: float, near: Neighbours, limits: Limits | None = None
) -> Selection:
    """Chooses songs for a list; the same ones from the same library, taste and numbers.

    Args:
        library: to choose from.
        taste: told in the space of the same model.
        length: songs wanted; there are fewer only where the library has no more.
        variety: 0 to 1.
        near: the library's vectors, ready to be searched.
        limits: the usual ones without it; raised step by step where the library is too small for them.

    Raises:
        BenchError: length or variety are out of range.
    """
    refuse(length, variety)
    limits, n = limits or usual_limits(length), POOL * length
    barred: set[int] = set()
    while True:
        whole = n >= len(library)
        pool = _pool(library, taste, near if not whole or isinstance(near, Exact) else Exact(library.vectors), n)
        pool.usable &= ~np.isin(pool.positions, list(barred))
        chosen, notes = _greedy(pool, taste.genres, length, variety, limits)
        if notes and not whole:
            n *= WIDER
            continue
        again = _copies(library, taste, pool.positions[chosen])
        if not again:
            return Selection(pool.positions[chosen], pool.closeness[chosen], tuple(notes))
        barred |= again


def refuse(length: int, variety: float) -> None:
    """Raises `BenchError` for numbers that are out of range."""
    if length < 1:
        raise BenchError(f"length must be at least 1, got {length}")
    if not 0 <= variety <= 1:
        raise BenchError(f"variety must be from 0 (the closest songs) to 1 (the most different), got {variety:g}")


def closeness(cosines: NDArray[np.floating], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reciprocal ranks fused over centres (Cormack, Clarke & Büttcher, SIGIR 2009), the greatest being 1.

    Args:
        cosines: (centres, songs).
        shares: (centres,) weights.
    """
    order = np.argsort(-cosines, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None, :], axis=1)
    fused: NDArray[np.float64] = shares @ (1 / (RANKED + ranks))
    scaled: NDArray[np.float64] = fused / fused.max(initial=TIES)
    return scaled


def quotas(shares: NDArray[np.float64], length: int) -> NDArray[np.int64]:
    """Whole numbers in these proportions that sum to `length`, by largest remainders."""
    exact = shares / shares.sum() * length
    whole: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: length - whole.sum()]] += 1
    return whole


def _pool(library: Songs, taste: Taste, near: Neighbours, n: int) -> _Pool:
    found, _ = near.search(taste.centres, n)
    positions = np.unique(found[found >= 0])
    directions = units(library.vectors[positions])
    table = library.table.iloc[positions]
    usable = ~table["track_id"].isin(taste.songs.table["track_id"]).to_numpy()
    close = np.zeros(len(positions))
    close[usable] = closeness(taste.centres @ directions[usable].T, taste.shares)
    artists, albums = (_numbers(table, names) for names in (["artist"], ["artist", "album"]))
    return _Pool(
        positions,
        close,
        directions,
        library.probabilities[positions].argmax(axis=1),
        artists,
        albums,
        usable,
    )


def _numbers(table: pd.DataFrame, names: Sequence[str]) -> NDArray[np.int64]:
    """Equal numbers for rows that are equal in these columns; −1 where the last is empty."""
    number = table.groupby(list(names), sort=False).ngroup().to_numpy(np.int64)
    return np.where(table[names[-1]] == "", -1, number)


def _greedy(
    pool: _Pool, genres: NDArray[np.float64], length: int, variety: float, limits: Limits
) -> tuple[list[int], list[str]]:
    """Chooses one song after another, and says what had to be given up for the list to be full."""
    chosen: list[int] = []
    usable, left, raised, others = pool.usable.copy(), quotas(genres, length), limits, 0
    reached = _reached(pool, left)
    alike = np.full(len(usable), -1.0, np.float32)  # cosine to the most alike chosen song
    while len(chosen) < length and usable.any():
        within = (
            usable & _below(pool.artists, chosen, raised.per_artist) & _below(pool.albums, chosen, raised.per_album)
        )
        if not within.any():
            raised = Limits(raised.per_artist + 1, raised.per_album + 1)
            continue
        fitting = within & (left[pool.classes] > 0)
        others += not fitting.any()
        near = fitting & reached
        among = next(mask for mask in (near, fitting, within) if mask.any())
        score = max(1 - variety, TIES) * pool.closeness - variety * alike
        best = int(np.where(among, score, -np.inf).argmax())
        left[pool.classes[best]] -= 1
        usable[best] = False
        alike = np.maximum(alike, pool.directions @ pool.directions[best])
        chosen.append(best)
    return chosen, _notes(length, len(chosen), others, limits, raised)


def _reached(pool: _Pool, quota: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The usable songs of each class that are the closest, `REACH` for each place in its quota."""
    reached = np.zeros(len(pool.usable), bool)
    for number in np.flatnonzero(quota):
        own = np.flatnonzero(pool.usable & (pool.classes == number))
        reached[own[np.argsort(-pool.closeness[own], kind="stable")[: REACH * quota[number]]]] = True
    return reached


def _below(groups: NDArray[np.int64], chosen: Sequence[int], most: int) -> NDArray[np.bool_]:
    """Of which songs the group has not yet so many chosen ones; what has no group is free."""
    counts = np.bincount(groups[list(chosen)] + 1, minlength=groups.max(initial=-1) + 2)
    counts[0] = 0
    free: NDArray[np.bool_] = counts[groups + 1] < most
    return free


def _notes(length: int, n: int, others: int, limits: Limits, raised: Limits) -> list[str]:
    notes = []
    if n < length:
        notes.append(f"{length} songs are wanted, but the library has only {n} that may be chosen")
    if raised != limits:
        notes.append(
            f"too few artists or albums: up to {raised.per_artist} songs of one artist and {raised.per_album} of one "
            f"album, instead of {limits.per_artist} and {limits.per_album}"
        )
    if others:
        notes.append(
            f"{others} songs are by labels that were listened to less, or never: of the others there are no more, or "
            f"no more than {raised.per_artist} of an artist and {raised.per_album} of an album may come"
        )
    return notes


def _copies(library: Songs, taste: Taste, positions: NDArray[np.int64]) -> set[int]:
    """Positions of chosen songs that are copies of earlier ones, or of songs of the taste."""
    paths = library.table["path"].iloc[positions].tolist()
    cosines = units(library.vectors[positions]) @ units(taste.songs.vectors).T
    most = MOST_LIKED if len(taste.songs) <= MOST_LIKED else LIKED_COMPARED
    liked = np.unique(np.argsort(-cosines, axis=1, kind="stable")[:, :most])
    compared = [*taste.songs.table["path"].iloc[liked], *paths]
    later = {second - len(liked) for _, second in copies.pairs(compared)}
    return {int(positions[place]) for place in later if place >= 0}
