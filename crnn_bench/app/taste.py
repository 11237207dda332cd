"""What somebody likes, in the space of a model: from some seeds, or from what was played and how often.

All that a taste knows of the songs is what the model makes of them; labels are not looked at.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench.app.neighbours import units
from crnn_bench.errors import BenchError
from crnn_bench.songs import Songs

MOST_SINGLE = 20  # songs that stand for themselves; of more, k-means centres do
CENTRES = 12
MOST_PLAYS = 1e12  # of a line of a history; sums of larger numbers would overflow


@dataclass(frozen=True)
class Taste:
    """What somebody likes.

    Attributes:
        songs: those that tell it; none of them is ever recommended.
        plays: (songs,) how often each was played.
        centres: (centres, width) unit vectors: the songs themselves, or k-means centres where they are many.
        shares: (centres,) of the plays, summing to 1.
        genres: (classes,) shares of the plays by the model's most probable class, summing to 1.
    """

    songs: Songs
    plays: NDArray[np.float64]
    centres: NDArray[np.float32]
    shares: NDArray[np.float64]
    genres: NDArray[np.float64]


def of(songs: Songs, plays: NDArray[np.float64] | None = None) -> Taste:
    """The taste that some songs tell.

    Args:
        songs: at least one.
        plays: (songs,) how often each was played; once each without it.

    Raises:
        BenchError: there is no song, or none that was played.
    """
    plays = np.ones(len(songs)) if plays is None else plays
    if not plays.sum() > 0:
        raise BenchError("no song tells a taste; give a seed, or a history with plays above 0")
    shares = plays / plays.sum()
    directions = units(songs.vectors)
    genres = _summed(songs.probabilities.argmax(axis=1), shares, len(songs.classes))
    if len(songs) <= MOST_SINGLE:
        return Taste(songs, plays, directions, shares, genres)
    from sklearn.cluster import KMeans

    number = min(CENTRES, len(np.unique(directions, axis=0)))
    means = KMeans(number, n_init=4, random_state=0).fit(directions, sample_weight=shares)
    weights = _summed(means.labels_, shares, number)
    return Taste(songs, plays, units(means.cluster_centers_[weights > 0]), weights[weights > 0], genres)


def _summed(groups: NDArray[np.int64], shares: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """The shares of each of some groups."""
    return np.bincount(groups, shares, number).astype(np.float64)


def history(path: Path) -> pd.DataFrame:
    """Reads what was played: columns `path` and `plays`, which is 1 where the file does not tell it.

    A path may come more than once; its plays are added.

    Raises:
        BenchError: the file is no such table; says what is missing.
        OSError: it cannot be opened.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is no CSV table ({str(error).splitlines()[0]}); it needs a column path") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too much for names of rows
        raise BenchError(f"{path}: its lines have more fields than its first; put paths with commas in quotes")
    if "path" not in table:
        raise BenchError(
            f"{path} has no column path, but {', '.join(map(str, table.columns))}; exports of Last.fm and ListenBrainz "
            "name artists and titles: match them with files first, and write columns path and plays"
        )
    plays = pd.to_numeric(table["plays"], errors="coerce") if "plays" in table else pd.Series(1.0, table.index)
    bad = table.index[~plays.between(0, MOST_PLAYS)]
    if len(bad):
        given = f"got {table['plays'][bad[0]]!r}"
        raise BenchError(f"{path}, line {bad[0] + 2}: plays must be a number from 0 to {MOST_PLAYS:g}, {given}")
    return table.assign(plays=plays).groupby("path", sort=False, as_index=False)["plays"].sum()


def located(library: Songs, names: Sequence[str], folders: Sequence[Path]) -> NDArray[np.int64]:
    """Positions of files in a library; −1 for those that it does not hold.

    Args:
        library: as `library.index` gives it.
        names: paths of files, from the root, or from any of some folders, or `track_id`s.
        folders: from which relative paths count, the first before the second.
    """
    table = library.table
    known = {name: place for place, name in enumerate(table["track_id"])}
    known |= {path: place for place, path in enumerate(table["path"])}
    found = []
    for name in names:
        spelled = [name, *(os.path.abspath(folder / name) for folder in folders)]
        found.append(next((known[one] for one in spelled if one in known), -1))
    if -1 in found:  # another way to the same file, through links
        real = {os.path.realpath(path): place for place, path in enumerate(table["path"]) if path}
        for number, name in enumerate(names):
            if found[number] < 0:
                ways = (os.path.realpath(folder / name) for folder in folders if "\0" not in name)
                found[number] = next((real[way] for way in ways if way in real), -1)
    return np.array(found, np.int64)
