"""Stored cells → groups that differ in seeds and folds alone: what a row of a table, or a bar of a figure, is about."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import evaluation, statistics
from crnn_bench.aggregations import Aggregation
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.records import Predictions
from crnn_bench.results import Result
from crnn_bench.statistics import Answers, Interval
from crnn_bench.wording import COSTS, in_words

SEEDS = ("split_seed", "model_seed")
PER_CELL = (*SEEDS, "split.fold", "clip_seconds")  # what a group's cells may differ in
LEVELS = ("slice", "song")


@dataclass(frozen=True)
class Group:
    """Cells that differ in seeds and folds alone, at one clip length.

    Attributes:
        key: equal for the clip lengths of one row.
        words: what tells the group apart: `dataset, split, model` and whatever else the grid varies.
        clip: heading of its column, e.g. `3 s`.
        runs: by seed, the cells of all folds.
    """

    key: str
    words: dict[str, str]
    clip: str
    runs: dict[tuple[int, ...], list[Result]]

    @property
    def folds(self) -> int:
        """Cells that are pooled for each seed: the most that a seed has."""
        return max(map(len, self.runs.values()))

    @property
    def folds_in_words(self) -> str:
        """`5`, or `4 of 5` where one is not finished or not asked for."""
        whole = next(iter(self.runs.values()))[0].record["n_folds"]
        return str(self.folds) if self.folds == whole else f"{self.folds} of {whole}"

    @cached_property
    def pooled(self) -> dict[tuple[int, ...], Predictions]:
        """By seed, the predictions on the test part, of all folds put together."""
        return self.of("test")

    def of(self, part: str) -> dict[tuple[int, ...], Predictions]:
        """The same of any part.

        Seeds that lack a fold which others have are not comparable, and stay out.
        """
        whole = {seed: cells for seed, cells in self.runs.items() if len(cells) == self.folds}
        return {seed: Predictions.joined([cell.predictions.of(part) for cell in s]) for seed, s in whole.items()}

    @cached_property
    def all_scores(self) -> list[dict[str, float]]:
        """Every score that `evaluation.scores` knows, one a seed; folds are pooled before they are scored."""
        return [evaluation.scores(some, self.hears_slices) for some in self.pooled.values()]

    @property
    def hears_slices(self) -> bool:
        """Whether its models answer for slices."""
        return hears_slices(self.cells[0])

    @cached_property
    def clusters(self) -> dict[str, str]:
        """By test song, what its answers may depend on: its album where that is known, else the song itself."""
        found: dict[str, str] = {}
        for cell in self.cells:
            songs = cell.record.get("songs", {"track_id": [], "album": []})
            albums = zip(songs["track_id"], songs["album"], strict=True)
            found |= {track: f"album {album}" for track, album in albums if album}
        return found

    def answers(
        self, level: str, aggregation: Aggregation | None = None, part: str = "test"
    ) -> dict[tuple[int, ...], Answers]:
        """By seed, what was said of each test slice, or of each test song, and which of them belong together.

        Args:
            level: `slice` or `song`.
            aggregation: of slices to songs; the paper's vote without it.
            part: whose songs.
        """
        pooled = self.pooled if part == "test" else self.of(part)
        return {seed: self._answers(some, level, aggregation) for seed, some in pooled.items()}

    def _answers(self, predictions: Predictions, level: str, aggregation: Aggregation | None) -> Answers:
        tracks = predictions.table["track_id"]
        truth, probabilities = predictions.truth, predictions.probabilities
        if level == "song":
            tracks, truth, probabilities = evaluation.compiled(predictions, aggregation or SureVote())
        clusters = np.array([self.clusters.get(track, track) for track in tracks], dtype=object)
        return Answers(truth, probabilities, clusters)

    @property
    def scores(self) -> pd.DataFrame:
        """Weighted F1, one row a seed, columns slice and song."""
        return pd.DataFrame(
            [{level: found.get(f"{level}/f1", np.nan) for level in LEVELS} for found in self.all_scores]
        )

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Mean weighted F1 over seeds with its 95% interval, by level; songs by the paper's vote."""
        levels = LEVELS if self.hears_slices else LEVELS[1:]
        return {level: statistics.interval(self.answers(level), WeightedF1()) for level in levels}

    @property
    def cells(self) -> list[Result]:
        """Of all seeds and folds."""
        return [cell for cells in self.runs.values() for cell in cells]

    @property
    def costs(self) -> dict[str, float]:
        """What its network costs, by heading; nothing where its cells do not tell."""
        told = [{word: cell.record.get(name) for name, word in COSTS.items()} for cell in self.cells]
        return {word: value for costs in told for word, value in costs.items() if value is not None}


def groups(cells: Sequence[Result]) -> list[Group]:
    """Puts cells together that differ in seeds and folds alone."""
    telling = varied([cell.record["parameters"] for cell in cells])
    found: dict[tuple[str, str], Group] = {}
    for cell in cells:
        parameters = cell.record["parameters"]
        clip = "songs" if parameters["clip_seconds"] is None else f"{parameters['clip_seconds']:g} s"
        words = {"dataset": cell.record["dataset"], "split": parameters["split"], "model": parameters["model"]}
        words |= {_column(name): argument(parameters, name) for name in telling}
        fixed = {name: value for name, value in parameters.items() if name not in PER_CELL}
        key = json.dumps([cell.record["dataset"], fixed], sort_keys=True)
        group = found.setdefault((key, clip), Group(key, words, clip, {}))
        group.runs.setdefault(tuple(parameters[seed] for seed in SEEDS), []).append(cell)
    return list(found.values())


def hears_slices(cell: Result) -> bool:
    """Whether the model answers for slices; one that hears whole songs has no slice level."""
    return cell.record["parameters"]["clip_seconds"] is not None


def labels(found: Sequence[Group]) -> list[str]:
    """Each group by what tells it apart from the others; its model, where nothing does."""
    words = pd.DataFrame([{**group.words, "clip": group.clip} for group in found])
    telling = [name for name in words if len(set(words[name])) > 1] or ["model"]
    plain = ("dataset", "split", "model", "pooling", "clip")
    named = {name: "" if name in plain else f"{name.rpartition('.')[2].replace('_', ' ')} " for name in telling}
    return ["; ".join(named[name] + row[name] for name in telling if row[name]) for row in words.to_dict("records")]


def varied(parameters: Sequence[dict[str, Any]]) -> list[str]:
    """Parameters that differ among the cells of one model, besides seeds, folds, clip length and the split's name.

    An argument of a split, feature or dataset is compared among the cells that have the same one.
    """
    names: dict[str, None] = {}
    for name in dict.fromkeys(name for some in parameters for name in some):
        if name in (*PER_CELL, "split"):
            continue
        owner = name.partition(".")[0]
        values: dict[tuple[Any, Any], set[str]] = {}
        for some in parameters:
            if name in some:
                whose = some["model"], some.get(owner) if owner != name else None
                values.setdefault(whose, set()).add(json.dumps(some[name]))
        if any(len(different) > 1 for different in values.values()):
            names[name] = None
    return list(names)


def argument(parameters: dict[str, Any], name: str) -> str:
    """In words; blank where the cell has none of that name."""
    return in_words(parameters[name]) if name in parameters else ""


def _column(parameter: str) -> str:
    """A varied parameter's column: its dotted name, but plain `pooling`."""
    return "pooling" if parameter == "model.pooling" else parameter
