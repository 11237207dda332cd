"""A strategy and a seed → a split that is proved not to leak."""

import pandas as pd

from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice
from crnn_bench.records import PARTS, Catalogue, Split
from crnn_bench.seeds import generator
from crnn_bench.splits import SplitStrategy, groups


def split(catalogue: Catalogue, strategy: SplitStrategy, seed: int) -> Split:
    """Splits a catalogue.

    Raises:
        BenchError: the split is impossible, a group straddles it, or a label is missing from a part.
    """
    part = strategy.assign(catalogue.table, generator(seed, "split"))
    table = catalogue.table.assign(part=part)
    try:
        prove(table, strategy.group, strategy.validation_group)
    except BenchError as error:
        chosen = Choice.of(strategy)
        raise BenchError(f"{error} ({chosen.label} {chosen.describe()['init_args']})") from None
    train, validation, test = (tuple(table.loc[table["part"] == name, "track_id"]) for name in PARTS)
    return Split(train, validation, test, strategy.group, strategy.validation_group)


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
