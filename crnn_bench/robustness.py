"""Predictions of deformed test songs → scores against the deformation's strength, with their intervals."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import grouping, statistics
from crnn_bench.grouping import Group
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.records import Predictions
from crnn_bench.results import Result

METRIC = WeightedF1()
KIND = ["deformation", "unit", "undeformed"]


def table(groups: Sequence[Group]) -> pd.DataFrame:
    """Weighted F1 on deformed test songs, one row a group, deformation, strength and level.

    Args:
        groups: of cells; those whose test songs were not deformed have no row.

    Returns:
        What tells the group apart, `clip`, `deformation`, `strength` (NaN for the songs as they are, which stand in
        their place: before the strengths, these from weak to strong, or among them, these upwards), `unit`, `level`,
        `f1, low, high` (mean over seeds, and its interval), `difference, difference_low, difference_high` (to the same
        songs as they are), `songs` (that were heard; a deformed one may be too short). Empty where none was deformed.
    """
    return pd.DataFrame([row for group in groups for row in _rows(group)])


def curves(rows: pd.DataFrame, groups: Sequence[Group], level: str) -> pd.DataFrame:
    """What `figures.robustness` draws of one level: its rows, with the group in words as `group`.

    Args:
        rows: what `table` gave of these groups.
        groups: of cells.
        level: `slice` or `song`.
    """
    if rows.empty:
        return rows
    names = {
        (*group.words.values(), group.clip): text for group, text in zip(groups, grouping.labels(groups), strict=True)
    }
    chosen = rows[rows["level"] == level]
    keys = chosen[[*groups[0].words, "clip"]].itertuples(index=False, name=None)
    return chosen.assign(group=[names[key] for key in keys])


@dataclass(frozen=True)
class _Heard:
    """Test songs as the models heard them: by one strength of a deformation (NaN: by none), and as they are."""

    deformation: str
    strength: float
    unit: str
    songs: Group
    as_they_are: Group


def _rows(group: Group) -> Iterator[dict[str, Any]]:
    """The rows of one group, of the seeds whose cells all have deformed songs."""
    runs = {seed: cells for seed, cells in group.runs.items() if all(cell.deformed for cell in cells)}
    heard = list(_heard(replace(group, runs=runs))) if runs else []
    levels = grouping.LEVELS if group.hears_slices else ("song",)
    for level in levels if heard else ():
        pairs = [some.answers(level) for each in heard for some in (each.songs, each.as_they_are)]
        rated = statistics.scores(pairs, METRIC)
        for each, deformed, plain in zip(heard, rated[::2], rated[1::2], strict=True):
            f1 = deformed.interval()
            row = {"deformation": each.deformation, "strength": each.strength, "unit": each.unit, "level": level}
            row |= {"f1": f1.value, "low": f1.low, "high": f1.high}
            if not math.isnan(each.strength):
                gap = deformed.minus(plain).interval()
                row |= {"difference": gap.value, "difference_low": gap.low, "difference_high": gap.high}
            songs = [some.table["track_id"].nunique() for some in each.songs.pooled.values()]
            yield {**group.words, "clip": group.clip, **row, "songs": round(np.mean(songs))}


def _heard(plain: Group) -> Iterator[_Heard]:
    """Each strength of each deformation, and none, in their order."""
    rows = [cell.deformed.table[[*KIND, "strength"]].drop_duplicates() for cell in plain.cells if cell.deformed]
    for (deformation, unit, undeformed), some in pd.concat(rows).groupby(KIND, sort=False):
        for strength in sorted({*some["strength"], undeformed}, reverse=undeformed == math.inf):
            if strength == undeformed:
                yield _Heard(deformation, math.nan, unit, plain, plain)
            else:
                songs = _changed(plain, partial(_deformed, deformation=deformation, strength=strength))
                same = _changed(plain, partial(_as_they_are, deformation=deformation, strength=strength))
                yield _Heard(deformation, strength, unit, songs, same)


def _changed(group: Group, change: Callable[[Result], Predictions]) -> Group:
    """The same group with other predictions; without the seeds of which nothing is left."""
    runs = {seed: [replace(cell, predictions=change(cell)) for cell in cells] for seed, cells in group.runs.items()}
    return replace(group, runs={s: cells for s, cells in runs.items() if any(len(c.predictions.table) for c in cells)})


def _deformed(cell: Result, deformation: str, strength: float) -> Predictions:
    assert cell.deformed is not None
    rows = cell.deformed.table
    mine = (rows["deformation"] == deformation) & (rows["strength"] == strength)
    return Predictions(rows[mine].reset_index(drop=True), cell.deformed.classes)


def _as_they_are(cell: Result, deformation: str, strength: float) -> Predictions:
    rows, others = cell.predictions.of("test").table, _deformed(cell, deformation, strength)
    mine = rows["track_id"].isin(others.table["track_id"])
    return Predictions(rows[mine].reset_index(drop=True), others.classes)
