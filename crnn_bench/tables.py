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
from crnn_bench.plugins import short_name
from crnn_bench.records import Predictions
from crnn_bench.results import Result

COLUMNS = {
    "f1_slice": "slice/f1",
    "f1_song": "song/f1",
    "accuracy_slice": "slice/accuracy",
    "accuracy_song": "song/accuracy",
    "f1_macro_slice": "slice/f1_macro",
    "f1_macro_song": "song/f1_macro",
    "f1_song_mean_prob": "song/f1/mean-prob",
    "f1_song_validation": "validation/song/f1",
}
RECORDED = (
    "n_train_slices", "n_validation_slices", "n_test_slices", "n_train_songs", "n_validation_songs", "n_test_songs",
    "n_test_albums", "n_heard_albums", "n_test_artists", "n_heard_artists", "n_rejected",
    "fit_seconds", "slices_per_second", "predict_slices_per_second",
    "precision", "epochs", "best_epoch", "searched_f1", "remark", "run_id",
)  # fmt: skip
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
    def scores(self) -> pd.DataFrame:
        """Weighted F1, one row a seed, columns slice and song; folds are pooled before they are scored.

        Seeds that lack a fold which others have are not comparable, and stay out.
        """
        rows = []
        for cells in [cells for cells in self.runs.values() if len(cells) == self.folds]:
            pooled = Predictions.joined([cell.predictions.of("test") for cell in cells])
            found = evaluation.scores(pooled, hears_slices(cells[0]))
            rows.append({level: found.get(f"{level}/f1", np.nan) for level in LEVELS})
        return pd.DataFrame(rows)


def of_cells(cells: Sequence[Result]) -> pd.DataFrame:
    """One row a cell: what it was, its scores, its counts and seconds."""
    rows = []
    for cell in cells:
        parameters = cell.record["parameters"]
        scores = scores_of(cell)
        row: dict[str, Any] = {"dataset": cell.record["dataset"], "split": parameters["split"]}
        row |= {"fold": parameters.get("split.fold"), "clip_seconds": parameters["clip_seconds"]}
        row |= {"model": parameters["model"], "pooling": _short(parameters.get("model.pooling", ""))}
        row |= {"seed": parameters["model_seed"], "split_seed": parameters["split_seed"]}
        row |= {column: scores.get(name) for column, name in COLUMNS.items()}
        row |= {name: cell.record.get(name) for name in RECORDED}
        row |= {"searched": json.dumps(cell.record["searched"]) if "searched" in cell.record else None}
        row |= {"cell": cell.name}
        rows.append(row)
    table = pd.DataFrame(rows)
    telling = varied([cell.record["parameters"] for cell in cells])
    extra = {
        name: [cell.record["parameters"].get(name) for cell in cells] for name in telling if name != "model.pooling"
    }
    return table.assign(**{name: [_short(value) for value in values] for name, values in extra.items()})


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
        words |= {_column(name): _short(parameters[name]) for name in telling if name in parameters}
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
            row = rows.setdefault(
                level + group.key,
                {**group.words, "level": level, "seeds": len(values), "pooled_folds": group.folds_in_words},
            )
            row[f"{group.clip} mean"] = values.mean()
            row[f"{group.clip} best"] = values.max()
            row[f"{group.clip} std"] = values.std(ddof=1) if len(values) > 1 else np.nan
    table = pd.DataFrame(list(rows.values()))
    leading = [name for name in table if not _is_number(name)]
    return table[[*leading, *(name for name in table if _is_number(name))]]


def printable(short: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The summary with one text column a clip length, `0.765 (0.768)`, and those columns' names."""
    leading = [name for name in short if not _is_number(name)]
    clips = [name.removesuffix(" mean") for name in short if name.endswith(" mean")]
    printed = {
        clip: [_mean_best(*pair) for pair in zip(short[f"{clip} mean"], short[f"{clip} best"], strict=True)]
        for clip in clips
    }
    return short[leading].astype(object).fillna("").astype(str).assign(**printed), clips


def _mean_best(mean: float, best: float) -> str:
    return "–" if np.isnan(mean) else f"{mean:.3f} ({best:.3f})"


def aggregates(cells: Sequence[Result]) -> dict[str, float]:
    """Mean, best and deviation of weighted F1 by a name that MLflow takes: `SongSplit CRNN 3 s/song/f1 mean`."""
    found: dict[str, float] = {}
    for group in groups(cells):
        name = re.sub(r"[^\w\-. ]", "_", " ".join([*list(group.words.values())[1:], group.clip]))
        for level in LEVELS:
            values = group.scores[level].dropna()
            if len(values):
                found |= {f"{name}/{level}/f1 mean": values.mean(), f"{name}/{level}/f1 best": values.max()}
            if len(values) > 1:
                found[f"{name}/{level}/f1 std"] = values.std(ddof=1)
    return found


def bars(cells: Sequence[Result]) -> pd.DataFrame:
    """The same for a bar chart: `group` (text), `level`, `mean`, `std`."""
    rows = []
    for group in groups(cells):
        text = ", ".join([*list(group.words.values())[1:], group.clip])
        for level in LEVELS:
            rows.append(
                {"group": text, "level": level, "mean": group.scores[level].mean(), "std": group.scores[level].std()}
            )
    return pd.DataFrame(rows)


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


def _short(value: Any) -> str:
    return short_name(str(value))


def _column(parameter: str) -> str:
    """A varied parameter's column: its dotted name, but plain `pooling`."""
    return "pooling" if parameter == "model.pooling" else parameter


def _is_number(column: str) -> bool:
    return column.endswith((" mean", " best", " std"))
