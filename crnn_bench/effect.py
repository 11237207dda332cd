"""Groups on splits by song and by album → the album effect: what a score owes to albums that are known already.

Whitman et al. (2001) heard that classifiers know productions, not artists; where test songs come from albums that were
trained on, scores are inflated. The difference, a split by songs less a split by albums, is that inflation as a number.
"""

import json
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import statistics
from crnn_bench.grouping import LEVELS, Group
from crnn_bench.metrics import OfCounts, class_f1
from crnn_bench.metrics.weighted_f1 import WeightedF1

BY_SONG, APART = "track_id", ("album", "artist")
NUMBERS = ["artist", "kept_together", "song_split", "album_split", "effect", "low", "high"]


class OfEachClass(OfCounts):
    """F1 of each class: a score has shape (classes,)."""

    name = "f1"

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return class_f1(totals)


def table(groups: Sequence[Group]) -> pd.DataFrame:
    """The album effect of everything that was run on both kinds of split; the artist effect likewise.

    Returns:
        What tells the group apart (but for its split), `clip, level, artist` (blank: all, weighted F1; else the F1 of
        that class, if both tested it with every seed), `kept_together` (`album` or `artist`), `song_split, album_split`
        (mean scores over seeds), `effect` (their difference, of the seeds that both have), and `low, high` (its 95%
        interval). No rows where nothing was run on both.
    """
    rows = []
    for by_song, apart in _both(groups):
        words = {
            name: word for name, word in by_song.words.items() if name != "split" and not name.startswith("split.")
        }
        kept = apart.cells[0].record["kept_together"]
        for level in LEVELS if by_song.hears_slices else LEVELS[1:]:
            about = {**words, "clip": by_song.clip, "level": level}
            rows += [{**about, **found, "kept_together": kept} for found in _effects(by_song, apart, level)]
    table = pd.DataFrame(rows)
    return table[[*(name for name in table if name not in NUMBERS), *NUMBERS]] if rows else table


def _both(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Groups that differ in nothing but what their splits keep together; none where several splits do the same."""
    alike: dict[Hashable, dict[str, list[Group]]] = {}
    for group in groups:
        kept = group.cells[0].record.get("kept_together")
        alike.setdefault(_but_split(group), {}).setdefault(str(kept), []).append(group)
    found = []
    for some in alike.values():
        by_song = some.get(BY_SONG, [])
        found += [(by_song[0], some[kept][0]) for kept in APART if len(by_song) == len(some.get(kept, [])) == 1]
    return found


def _but_split(group: Group) -> Hashable:
    """All that the group is, without its split: as many folds go together, since they leave as much to train on."""
    parameters = group.cells[0].record["parameters"]
    others = {n: v for n, v in parameters.items() if not n.startswith("split") and n not in ("model_seed", "fold")}
    return (
        json.dumps([group.words["dataset"], others], sort_keys=True),
        group.clip,
        group.cells[0].record["n_folds"],
        group.folds,
    )


def _effects(by_song: Group, apart: Group, level: str) -> list[dict[str, Any]]:
    answers = by_song.answers(level), apart.answers(level)
    of_all, of_each = statistics.scores(answers, WeightedF1()), statistics.scores(answers, OfEachClass())
    pairs = {"": of_all}
    for number, artist in enumerate(by_song.cells[0].record["classes"]):
        heard = [set(some.clusters[some.truth == number]) for seeds in answers for some in seeds.values()]
        if all(heard):
            pairs[artist] = [some.of_class(number, len(set.union(*heard))) for some in of_each]
    rows = []
    for artist, (ours, theirs) in pairs.items():
        found = ours.minus(theirs).interval()
        means = {"song_split": ours.values.mean(), "album_split": theirs.values.mean()}
        rows.append({"artist": artist, **means, "effect": found.value, "low": found.low, "high": found.high})
    return rows
