"""Groups of cells that heard the same test songs → how far apart each two of them are, and whether that is chance."""

import itertools
import json
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import evaluation, grouping, significance, statistics
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.grouping import LEVELS, Group
from crnn_bench.metrics.weighted_f1 import WeightedF1

COLUMNS = [
    "dataset",
    "split",
    "level",
    "a",
    "b",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "songs",
    "only_a",
    "only_b",
]


def table(groups: Sequence[Group]) -> pd.DataFrame:
    """Every two groups with the same seeds and test songs (at the slice level: the same slices), side by side.

    Returns:
        Columns `dataset, split, level, a, b`, `difference` (weighted F1 of a less that of b, mean over seeds), `low,
        high` (its 95% interval), `p` (of `significance.permutation`), `p_holm` (the same, corrected for all rows of the
        level), `songs` (of a seed's test), `only_a, only_b` (how many of them only a, or only b, has right by the
        vote; mean over seeds). No rows where nothing can be compared.
    """
    rows: list[dict[str, Any]] = []
    for level in LEVELS:
        alike: dict[Hashable, list[Group]] = {}
        for group in groups:
            if level == "song" or group.hears_slices:
                alike.setdefault(_heard(group, level), []).append(group)
        found = [row for some in alike.values() if len(some) > 1 for row in _pairs(some, level)]
        corrected = significance.holm([row["p"] for row in found])
        rows += [{**row, "p_holm": p} for row, p in zip(found, corrected, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _heard(group: Group, level: str) -> Hashable:
    """Equal for groups of which each two can be compared."""
    what = ["track_id", "start_seconds", "seconds"] if level == "slice" else ["track_id"]
    by_seed = []
    for seed in sorted(group.pooled):
        items = group.pooled[seed].table[what].drop_duplicates()
        by_seed.append((seed, len(items), int(pd.util.hash_pandas_object(items, index=False).sum())))
    record = group.cells[0].record
    music = json.dumps(
        {n: v for n, v in record["parameters"].items() if n.partition(".")[0] == "dataset"}, sort_keys=True
    )
    return group.words["dataset"], music, group.words["split"], record.get("kept_together"), tuple(by_seed)


def _pairs(groups: Sequence[Group], level: str) -> list[dict[str, Any]]:
    metric = WeightedF1()
    answers = [dict(sorted(group.answers(level).items())) for group in groups]
    names = statistics.cluster_names(answers)
    sums = [statistics.summed(some, metric, names) for some in answers]
    scored = statistics.scores(answers, metric)
    right = [_right(group) for group in groups]
    called = grouping.labels(groups)
    songs = len(right[0]) / len(answers[0])
    about = {"dataset": groups[0].words["dataset"], "split": groups[0].words["split"], "level": level}
    rows: list[dict[str, Any]] = []
    for a, b in itertools.combinations(range(len(groups)), 2):
        found = scored[a].minus(scored[b]).interval()
        row: dict[str, Any] = {**about, "a": called[a], "b": called[b]}
        row |= {"difference": found.value, "low": found.low, "high": found.high}
        row |= {"p": significance.swapped(sums[a], sums[b], metric), "songs": songs}
        row |= {"only_a": songs * np.mean(right[a] & ~right[b]), "only_b": songs * np.mean(right[b] & ~right[a])}
        rows.append(row)
    return rows


def _right(group: Group) -> NDArray[np.bool_]:
    """(songs of all seeds,): whether each is told rightly, by the vote; in the order of seeds and tracks."""
    by_seed = [evaluation.song_classes(group.pooled[seed], SureVote()) for seed in sorted(group.pooled)]
    return np.concatenate([truth == predicted for truth, predicted in by_seed])
