"""Groups of cells → how the score grows with what is heard: of a song, and at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.grouping import LEVELS, Group, labels
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.records import Predictions
from crnn_bench.statistics import Answers, interval

SECONDS = (1, 3, 5, 10, 20, 30, 60, 120, 180, 240, 300, 600)
WINDOWS = 8  # of a song, so that its score does not hang on where one listens


def table(groups: Sequence[Group]) -> pd.DataFrame:
    """Weighted F1 of songs of which so many seconds are heard: words, `clip, seconds_heard, f1, low, high, group`.

    At equal listening time for all clip lengths: 1, 3, 5, 10, 20, 30, 60 s and so on, as many whole slices as fit into
    them, as long as half of a group's test songs are longer; and, last, whole songs. Of each song 8 windows of
    consecutive slices are compiled by the paper's vote, spread evenly; where a song has fewer, some are taken again, so
    that songs count alike. Songs that are shorter are heard whole. `seconds_heard` is the mean of what was heard.
    """
    heard = [group for group in groups if group.hears_slices]
    rows: list[dict[str, Any]] = []
    for group, label in zip(heard, labels(heard), strict=True):
        songs = {seed: _Songs(some, group) for seed, some in group.pooled.items()}
        for n_slices in _numbers_of_slices(group, list(songs.values())):
            windows = {seed: some.windows(n_slices) for seed, some in songs.items()}
            seconds = float(np.mean([heard for _, heard in windows.values()]))
            found = interval({seed: answers for seed, (answers, _) in windows.items()}, WeightedF1())
            row = {**group.words, "clip": group.clip, "seconds_heard": seconds}
            rows.append(row | {"f1": found.value, "low": found.low, "high": found.high, "group": label})
    return pd.DataFrame(rows)


def clip_lengths(groups: Sequence[Group]) -> pd.DataFrame:
    """Weighted F1 by clip length, of what has two at least: words, `clip_seconds, level, mean, low, high, group`."""
    lengths: dict[str, list[Group]] = {}
    for group in groups:
        if group.hears_slices:
            lengths.setdefault(group.key, []).append(group)
    several = [some for some in lengths.values() if len(some) > 1]
    names = labels([replace(some[0], clip="") for some in several])
    rows: list[dict[str, Any]] = []
    for some, name in zip(several, names, strict=True):
        for level in LEVELS:
            for group in sorted(some, key=_clip_seconds):
                found = interval(group.answers(level), WeightedF1())
                row = {**group.words, "clip_seconds": _clip_seconds(group), "level": level}
                rows.append(row | {"mean": found.value, "low": found.low, "high": found.high, "group": name})
    return pd.DataFrame(rows)


class _Songs:
    """Slices of test songs in the order in which they sound."""

    def __init__(self, predictions: Predictions, group: Group) -> None:
        table = predictions.table
        tracks = table["track_id"].to_numpy(dtype=str)
        order = np.lexsort([table["start_seconds"].to_numpy(), tracks])
        names, first = np.unique(tracks[order], return_index=True)
        self.slices = np.split(predictions.probabilities[order], first[1:])
        self.seconds = np.split(table["seconds"].to_numpy()[order], first[1:])
        self.truth = predictions.truth[order][first]
        self.clusters = np.array([group.clusters.get(name, name) for name in names], dtype=object)

    def windows(self, n_slices: int) -> tuple[Answers, float]:
        """What is said of each song's windows of so many slices, or of all that it has, and their mean seconds."""
        rule = SureVote()
        told, heard = [], []
        for slices, seconds in zip(self.slices, self.seconds, strict=True):
            length = min(n_slices, len(slices))
            starts = _spread(len(slices) - length + 1)
            answers = {int(at): rule.song_probabilities(slices[at : at + length]) for at in np.unique(starts)}
            told += [answers[int(at)] for at in starts]
            heard += [seconds[at : at + length].sum() for at in starts]
        truth, clusters = np.repeat(self.truth, WINDOWS), np.repeat(self.clusters, WINDOWS)
        return Answers(truth, np.array(told), clusters), float(np.mean(heard))


def _spread(places: int) -> NDArray[np.int64]:
    """(WINDOWS,) of so many places, evenly from the first to the last; each as often as any other, or once more."""
    if places >= WINDOWS:
        return np.linspace(0, places - 1, WINDOWS).round().astype(np.int64)
    return np.arange(WINDOWS, dtype=np.int64) * places // WINDOWS


def _numbers_of_slices(group: Group, songs: Sequence[_Songs]) -> list[int]:
    """Numbers of slices of a window, rising; the last is that of the longest song."""
    counts = np.array([len(slices) for some in songs for slices in some.slices])
    numbers = {int(seconds // _clip_seconds(group)) for seconds in SECONDS}
    return sorted({number for number in numbers if 1 <= number < np.median(counts)} | {int(counts.max())})


def _clip_seconds(group: Group) -> float:
    return float(group.cells[0].record["parameters"]["clip_seconds"])
