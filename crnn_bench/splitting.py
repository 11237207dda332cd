"""A strategy and a seed → a split that is proved not to leak."""

import itertools
import os
from pathlib import Path

import pandas as pd

from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice
from crnn_bench.records import PARTS, Catalogue, Split
from crnn_bench.seeds import generator
from crnn_bench.splits import SplitStrategy, groups


def split(catalogue: Catalogue, strategy: SplitStrategy, seed: int, listing_order: bool = False) -> Split:
    """Splits a catalogue.

    Args:
        catalogue: the usable tracks.
        strategy: which goes where.
        seed: of its randomness.
        listing_order: lets the strategy see labels, albums and tracks in the order in which the disk lists them, as the
            released code of Nasrullah & Zhao (2019) does; another disk, another split.

    Raises:
        BenchError: the split is impossible, a group straddles it, or a label is missing from a part.
    """
    tracks = _as_listed(catalogue.table) if listing_order else catalogue.table
    part = strategy.assign(tracks, generator(seed, "split")).reindex(catalogue.table.index)
    table = catalogue.table.assign(part=part)
    try:
        prove(table, strategy.group, strategy.validation_group)
    except BenchError as error:
        chosen = Choice.of(strategy)
        raise BenchError(f"{error} ({chosen.label} {chosen.describe()['init_args']})") from None
    train, validation, test = (tuple(table.loc[table["part"] == name, "track_id"]) for name in PARTS)
    return Split(train, validation, test, strategy.group, strategy.validation_group)


def _as_listed(table: pd.DataFrame) -> pd.DataFrame:
    """The tracks in the disk's order; labels and albums get a number in front, so that sorting keeps that order."""
    paths = [Path(path).absolute() for path in table["path"]]
    top = Path(os.path.commonpath([path.parent for path in paths]))  # those above may not be for us to list
    places = {folder: _listed(folder) for path in paths for folder in path.parents if folder.is_relative_to(top)}
    order = [
        tuple(places[folder].get(below.name, 0) for folder, below in _steps(path) if folder in places) for path in paths
    ]
    listed = table.iloc[sorted(range(len(table)), key=lambda row: order[row])].copy()
    for column in ("label", "album"):
        numbers, _ = pd.factorize(listed[column])
        numbered = [f"{number:06d} {name}" for number, name in zip(numbers, listed[column], strict=True)]
        listed[column] = pd.Series(numbered, index=listed.index).where(listed[column] != "", "")
    return listed


def _steps(path: Path) -> list[tuple[Path, Path]]:
    """Each folder on the way to a file, from the top, and what lies below it on that way."""
    way = [*reversed(path.parents), path]
    return list(itertools.pairwise(way))


def _listed(folder: Path) -> dict[str, int]:
    """Position of each name as the disk lists them; none where there is no such folder."""
    return {name: place for place, name in enumerate(os.listdir(folder))} if folder.is_dir() else {}


def prove(table: pd.DataFrame, group: str, validation_group: str) -> None:
    """Raises `BenchError` unless no group straddles parts and each tested label is trained.

    Args:
        table: tracks with their `part`.
        group: `track_id`, `album` or `artist`: what must not be in the test part and in another.
        validation_group: the same for training against validation.
    """
    used = table[table["part"].isin(PARTS)]
    trained = set(used.loc[used["part"] == "train", "label"])
    untrained = sorted(set(used["label"]) - trained)
    if untrained:
        raise BenchError(f"the split leaves no training track of {untrained[0]}")
    seen = used.assign(side=used["part"].eq("test"))
    _refuse_straddling(seen, "side", group)
    _refuse_straddling(used[used["part"] != "test"], "part", validation_group)


def _refuse_straddling(tracks: pd.DataFrame, side: str, group: str) -> None:
    sides = tracks[side].groupby(groups(tracks, group)).nunique()
    torn = sides.index[sides > 1]
    if len(torn):
        raise BenchError(
            f"the split leaks: the {group.removesuffix('_id')} {torn[0]} is on both sides ({len(torn)} such)"
        )
