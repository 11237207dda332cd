"""Stored cells → the tables of an experiment: a row a cell, and the paper's mean and best over seeds."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import evaluation
from crnn_bench.plugins import digest
from crnn_bench.records import Predictions
from crnn_bench.results import Result
from crnn_bench.wording import COSTS, in_words, numbers_last

COLUMNS = {
    "f1_slice": "slice/f1",
    "f1_song": "song/f1",
    "accuracy_slice": "slice/accuracy",
    "accuracy_song": "song/accuracy",
    "f1_macro_slice": "slice/f1_macro",
    "f1_macro_song": "song/f1_macro",
    "f1_song_mean_prob": "song/f1/mean-prob",
    "f1_song_product": "song/f1/product",
    "f1_song_vote": "song/f1/vote",
    "f1_song_validation": "validation/song/f1",
}
RECORDED = (
    "n_train_slices", "n_validation_slices", "n_test_slices", "n_train_songs", "n_validation_songs", "n_test_songs",
    "n_test_albums", "n_heard_albums", "n_test_artists", "n_heard_artists", "n_heard_test_songs", "n_rejected",
    "fit_seconds", "slices_per_second", "predict_slices_per_second",
    "n_parameters", "n_learned", "mflop_per_slice",
    "precision", "epochs", "best_epoch", "searched_f1", "remark", "run_id",
)  # fmt: skip
SEEDS = ("split_seed", "model_seed")
PER_CELL = (*SEEDS, "split.fold", "clip_seconds")  # what a group's cells may differ in
LEVELS = ("slice", "song")
LONGEST_NAME = 180  # of a score, since MLflow takes 250 characters in all


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
    def all_scores(self) -> list[dict[str, float]]:
        """Every score that `evaluation.scores` knows, one a seed; folds are pooled before they are scored.

        Seeds that lack a fold which others have are not comparable, and stay out.
        """
        whole = [cells for cells in self.runs.values() if len(cells) == self.folds]
        pooled = [Predictions.joined([cell.predictions.of("test") for cell in cells]) for cells in whole]
        return [evaluation.scores(some, hears_slices(cells[0])) for some, cells in zip(pooled, whole, strict=True)]

    @property
    def scores(self) -> pd.DataFrame:
        """Weighted F1, one row a seed, columns slice and song."""
        return pd.DataFrame(
            [{level: found.get(f"{level}/f1", np.nan) for level in LEVELS} for found in self.all_scores]
        )

    @property
    def cells(self) -> list[Result]:
        """Of all seeds and folds."""
        return [cell for cells in self.runs.values() for cell in cells]

    @property
    def costs(self) -> dict[str, float]:
        """What its network costs, by heading; nothing where its cells do not tell."""
        told = [{word: cell.record.get(name) for name, word in COSTS.items()} for cell in self.cells]
        return {word: value for costs in told for word, value in costs.items() if value is not None}


def of_cells(cells: Sequence[Result]) -> pd.DataFrame:
    """One row a cell: what it was, its scores, its counts and seconds."""
    rows = []
    for cell in cells:
        parameters = cell.record["parameters"]
        scores = scores_of(cell)
        row: dict[str, Any] = {"dataset": cell.record["dataset"], "split": parameters["split"]}
        row |= {"fold": parameters.get("split.fold"), "clip_seconds": parameters["clip_seconds"]}
        row |= {"model": parameters["model"], "pooling": _argument(parameters, "model.pooling")}
        row |= {"seed": parameters["model_seed"], "split_seed": parameters["split_seed"]}
        row |= {column: scores.get(name) for column, name in COLUMNS.items()}
        row |= {name: cell.record.get(name) for name in RECORDED}
        row |= {"searched": json.dumps(cell.record["searched"]) if "searched" in cell.record else None}
        row |= {"cell": cell.name}
        rows.append(row)
    table = pd.DataFrame(rows)
    telling = varied([cell.record["parameters"] for cell in cells])
    extra = [name for name in telling if name != "model.pooling"]
    return table.assign(**{name: [_argument(cell.record["parameters"], name) for cell in cells] for name in extra})


def scores_of(cell: Result) -> dict[str, float]:
    """Every metric on the test part, and under `validation/…` on the validation part."""
    found = evaluation.scores(cell.predictions.of("test"), hears_slices(cell))
    checked = evaluation.scores(cell.predictions.of("validation"), hears_slices(cell))
    return found | {f"validation/{name}": value for name, value in checked.items()}


def hears_slices(cell: Result) -> bool:
    """Whether the model answers for slices; one that hears whole songs has no slice level."""
    return cell.record["parameters"]["clip_seconds"] is not None


def groups(cells: Sequence[Result]) -> list[Group]:
    """Puts cells together that differ in seeds and folds alone."""
    telling = varied([cell.record["parameters"] for cell in cells])
    found: dict[tuple[str, str], Group] = {}
    for cell in cells:
        parameters = cell.record["parameters"]
        clip = "songs" if parameters["clip_seconds"] is None else f"{parameters['clip_seconds']:g} s"
        words = {"dataset": cell.record["dataset"], "split": parameters["split"], "model": parameters["model"]}
        words |= {_column(name): _argument(parameters, name) for name in telling}
        fixed = {name: value for name, value in parameters.items() if name not in PER_CELL}
        key = json.dumps([cell.record["dataset"], fixed], sort_keys=True)
        group = found.setdefault((key, clip), Group(key, words, clip, {}))
        group.runs.setdefault(tuple(parameters[seed] for seed in SEEDS), []).append(cell)
    return list(found.values())


def summary(cells: Sequence[Result]) -> pd.DataFrame:
    """The paper's table: a row a split, level and model; for each clip length mean, best and deviation over seeds."""
    rows: dict[str, dict[str, Any]] = {}
    for level in LEVELS:
        for group in groups(cells):
            values = group.scores[level].dropna()
            if values.empty:
                continue
            first = {**group.words, "level": level, "seeds": len(values), "pooled_folds": group.folds_in_words}
            row = rows.setdefault(level + group.key, first)
            row |= _spread(group.clip, values.tolist())
            row |= {f"{group.clip} {word}": value for word, value in group.costs.items()}
    return numbers_last(pd.DataFrame(list(rows.values())))


def aggregations(cells: Sequence[Result]) -> pd.DataFrame:
    """Weighted F1 per song by the rule that compiles slices: a row a group of cells, mean, best and deviation a rule.

    Models that hear whole songs have nothing to compile, and no rows.
    """
    rows = []
    for group in groups(cells):
        if hears_slices(group.cells[0]):
            about = {"clip": group.clip, "seeds": len(group.all_scores), "pooled_folds": group.folds_in_words}
            row: dict[str, Any] = {**group.words, **about}
            for rule in evaluation.aggregations():
                name = "song/f1" if rule.name == evaluation.SONG_RULE else f"song/f1/{rule.name}"
                row |= _spread(rule.name, [found[name] for found in group.all_scores])
            rows.append(row)
    return numbers_last(pd.DataFrame(rows))


def _spread(heading: str, values: Sequence[float]) -> dict[str, float]:
    """Mean, best and deviation over seeds."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
    return {f"{heading} mean": float(np.mean(values)), f"{heading} best": max(values), f"{heading} std": deviation}


def aggregates(cells: Sequence[Result]) -> dict[str, float]:
    """Mean, best and deviation of weighted F1 by a name that MLflow takes: `SongSplit CRNN 3 s/song/f1 mean`."""
    found: dict[str, float] = {}
    for group in groups(cells):
        name = re.sub(
            r"[^\w\-. ]", "_", " ".join([*(word for word in list(group.words.values())[1:] if word), group.clip])
        )
        if len(name) > LONGEST_NAME:
            name = f"{name[:LONGEST_NAME]} {digest([group.key, group.clip])}"
        for level in LEVELS:
            values = group.scores[level].dropna().tolist()
            told = _spread(f"{name}/{level}/f1", values) if values else {}
            found |= {what: value for what, value in told.items() if not np.isnan(value)}
    return found


def bars(cells: Sequence[Result]) -> pd.DataFrame:
    """The same for a bar chart: `group` (text), `level`, `mean`, `std`."""
    found = groups(cells)
    rows = []
    for group, label in zip(found, labels(found), strict=True):
        for level in LEVELS:
            values = group.scores[level]
            rows.append({"group": label, "level": level, "mean": values.mean(), "std": values.std()})
    return pd.DataFrame(rows)


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


def _argument(parameters: dict[str, Any], name: str) -> str:
    """In words; blank where the cell has none of that name."""
    return in_words(parameters[name]) if name in parameters else ""


def _column(parameter: str) -> str:
    """A varied parameter's column: its dotted name, but plain `pooling`."""
    return "pooling" if parameter == "model.pooling" else parameter
