"""Stored cells → the tables of an experiment: a row a cell, and the paper's mean over seeds with its interval."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import evaluation, statistics
from crnn_bench.grouping import LEVELS, Group, argument, hears_slices, varied
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.plugins import digest
from crnn_bench.results import Result
from crnn_bench.statistics import Interval
from crnn_bench.wording import numbers_last

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
LONGEST_NAME = 180  # of a score, since MLflow takes 250 characters in all


def of_cells(cells: Sequence[Result]) -> pd.DataFrame:
    """One row a cell: what it was, its scores, its counts and seconds."""
    rows = []
    for cell in cells:
        parameters = cell.record["parameters"]
        scores = scores_of(cell)
        row: dict[str, Any] = {"dataset": cell.record["dataset"], "split": parameters["split"]}
        row |= {"fold": parameters.get("split.fold"), "clip_seconds": parameters["clip_seconds"]}
        row |= {"model": parameters["model"], "pooling": argument(parameters, "model.pooling")}
        row |= {"seed": parameters["model_seed"], "split_seed": parameters["split_seed"]}
        row |= {column: scores.get(name) for column, name in COLUMNS.items()}
        row |= {name: cell.record.get(name) for name in RECORDED}
        row |= {"searched": json.dumps(cell.record["searched"]) if "searched" in cell.record else None}
        row |= {"cell": cell.name}
        rows.append(row)
    table = pd.DataFrame(rows)
    telling = varied([cell.record["parameters"] for cell in cells])
    extra = [name for name in telling if name != "model.pooling"]
    return table.assign(**{name: [argument(cell.record["parameters"], name) for cell in cells] for name in extra})


def scores_of(cell: Result) -> dict[str, float]:
    """Every metric on the test part, and under `validation/…` on the validation part."""
    found = evaluation.scores(cell.predictions.of("test"), hears_slices(cell))
    checked = evaluation.scores(cell.predictions.of("validation"), hears_slices(cell))
    return found | {f"validation/{name}": value for name, value in checked.items()}


def summary(groups: Sequence[Group]) -> pd.DataFrame:
    """The paper's table: a row a split, level and model; for each clip length what `_spread` tells."""
    rows: dict[str, dict[str, Any]] = {}
    for level in LEVELS:
        for group in groups:
            values = group.scores[level].dropna()
            if values.empty:
                continue
            first = {**group.words, "level": level, "seeds": len(values), "pooled_folds": group.folds_in_words}
            row = rows.setdefault(level + group.key, first)
            row |= _spread(group.clip, values.tolist(), group.intervals[level])
            row |= {f"{group.clip} {word}": value for word, value in group.costs.items()}
    return numbers_last(pd.DataFrame(list(rows.values())))


def aggregations(groups: Sequence[Group]) -> pd.DataFrame:
    """Weighted F1 per song by the rule that compiles slices: a row a group of cells, and for each rule its `_spread`.

    Models that hear whole songs have nothing to compile, and no rows.
    """
    rows = []
    for group in groups:
        if group.hears_slices:
            about = {"clip": group.clip, "seeds": len(group.all_scores), "pooled_folds": group.folds_in_words}
            row: dict[str, Any] = {**group.words, **about}
            for rule in evaluation.aggregations():
                name = "song/f1" if rule.name == evaluation.SONG_RULE else f"song/f1/{rule.name}"
                sure = statistics.interval(group.answers("song", rule), WeightedF1())
                row |= _spread(rule.name, [found[name] for found in group.all_scores], sure)
            rows.append(row)
    return numbers_last(pd.DataFrame(rows))


def _spread(heading: str, values: Sequence[float], sure: Interval) -> dict[str, float]:
    """Mean, best and deviation over seeds, and the mean's 95% interval."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
    told = {"mean": float(np.mean(values)), "best": max(values), "std": deviation, "low": sure.low, "high": sure.high}
    return {f"{heading} {what}": value for what, value in told.items()}


def aggregates(groups: Sequence[Group]) -> dict[str, float]:
    """What `_spread` tells of weighted F1 by a name that MLflow takes: `SongSplit CRNN 3 s/song/f1 mean`."""
    found: dict[str, float] = {}
    for group in groups:
        name = re.sub(
            r"[^\w\-. ]", "_", " ".join([*(word for word in list(group.words.values())[1:] if word), group.clip])
        )
        if len(name) > LONGEST_NAME:
            name = f"{name[:LONGEST_NAME]} {digest([group.key, group.clip])}"
        for level, sure in group.intervals.items():
            told = _spread(f"{name}/{level}/f1", group.scores[level].tolist(), sure)
            found |= {what: value for what, value in told.items() if not np.isnan(value)}
    return found
