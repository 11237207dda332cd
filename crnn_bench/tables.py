"""Stored cells → the tables of an experiment: a row a cell, and the paper's mean and best over seeds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import evaluation
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
    "n_train_slices", "n_test_slices", "n_test_songs", "n_rejected", "fit_seconds", "slices_per_second",
    "predict_slices_per_second", "precision", "epochs", "best_epoch", "run_id",
)  # fmt: skip
SEEDS = ("split_seed", "model_seed")
PER_CELL = (*SEEDS, "split.fold", "clip_seconds")  # what a group's cells may differ in
LEVELS = ("slice", "song")


@dataclass(frozen=True)
class Group:
    """Cells that differ in seeds and folds alone, at one clip length.

    Attributes:
        words: what tells the group apart: `dataset, split, model` and whatever else the grid varies.
        clip: heading of its column, e.g. `3 s`.
        runs: by seed, the cells of all folds.
    """

    words: dict[str, str]
    clip: str
    runs: dict[tuple[int, ...], list[Result]]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Weighted F1, one row a seed, columns slice and song; folds are pooled before they are scored."""
        rows = []
        for cells in self.runs.values():
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
        rows.append(row)
    table = pd.DataFrame(rows)
    varied = _varied([cell.record["parameters"] for cell in cells])
    extra = {
        name: [cell.record["parameters"].get(name) for cell in cells] for name in varied if name != "model.pooling"
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
    varied = _varied([cell.record["parameters"] for cell in cells])
    found: dict[tuple[str, str], Group] = {}
    for cell in cells:
        parameters = cell.record["parameters"]
        clip = "songs" if parameters["clip_seconds"] is None else f"{parameters['clip_seconds']:.3g} s"
        words = {"dataset": cell.record["dataset"], "split": parameters["split"], "model": parameters["model"]}
        words |= {_column(name): _short(parameters[name]) for name in varied if name in parameters}
        fixed = {name: value for name, value in parameters.items() if name not in PER_CELL}
        key = (json.dumps([cell.record["dataset"], fixed], sort_keys=True), clip)
        group = found.setdefault(key, Group(words, clip, {}))
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
            folds = len(next(iter(group.runs.values())))
            row = rows.setdefault(
                f"{level}{sorted(group.words.items())}",
                {**group.words, "level": level, "seeds": len(values), "pooled_folds": folds},
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


def bars(cells: Sequence[Result]) -> pd.DataFrame:
    rows = []
    for group in groups(cells):
        text = ", ".join([*list(group.words.values())[1:], group.clip])
        for level in LEVELS:
            rows.append(
                {"group": text, "level": level, "mean": group.scores[level].mean(), "std": group.scores[level].std()}
            )
    return pd.DataFrame(rows)


def _varied(parameters: Sequence[dict[str, Any]]) -> list[str]:
    """Parameters that differ among the cells of one model, besides seeds, folds, clip length and the split's name."""
    names: dict[str, None] = {}
    for model in dict.fromkeys(some["model"] for some in parameters):
        mine = [some for some in parameters if some["model"] == model]
        for name in dict.fromkeys(name for some in mine for name in some):
            values = {json.dumps(some[name]) for some in mine if name in some}
            if len(values) > 1 and name not in (*PER_CELL, "split", "min_seconds"):
                names[name] = None
    return list(names)


def _short(value: Any) -> str:
    """A class path by its last word, anything else as it is."""
    return (
        value.rsplit(".", 1)[-1].lower() if isinstance(value, str) and value.startswith("crnn_bench.") else str(value)
    )


def _column(parameter: str) -> str:
    """A varied parameter's column: its dotted name, but plain `pooling`."""
    return "pooling" if parameter == "model.pooling" else parameter


def _is_number(column: str) -> bool:
    return column.endswith((" mean", " best", " std"))
