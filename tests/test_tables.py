"""From cells to a table: what is pooled, what is averaged, and what may not be mixed up."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from crnn_bench import tables
from crnn_bench.records import Predictions
from crnn_bench.results import Result

CLASSES = ("a", "b")


def cell(right: list[bool], songs: str = "x", n_folds: int = 1, **parameters: Any) -> Result:
    """A finished cell: one slice a test song, told rightly or not; true classes alternate."""
    truth = np.arange(len(right)) % 2
    predicted = np.where(right, truth, 1 - truth)
    table = pd.DataFrame({"part": "test", "track_id": [f"{songs}{i}" for i in range(len(right))]})
    table = table.assign(start_seconds=0.0, seconds=3.0, truth=np.array(CLASSES)[truth])
    table = table.assign(p_a=np.where(predicted == 0, 0.9, 0.1), p_b=np.where(predicted == 1, 0.9, 0.1))
    both = pd.concat([table, table.assign(part="validation")], ignore_index=True)
    usual = {"split": "SongSplit", "model": "CRNN", "clip_seconds": 3.0, "split_seed": 0, "model_seed": 0}
    record = {"name": "cell", "dataset": "music", "n_folds": n_folds, "parameters": usual | parameters}
    return Result(Predictions(both, CLASSES), record, None)


def fold(number: int, right: list[bool], seed: int = 0, n_folds: int = 2) -> Result:
    return cell(
        right, f"fold {number} song ", n_folds, **{"split": "SongKFold", "split.fold": number, "model_seed": seed}
    )


GOOD, BAD = [True] * 4, [False] * 4


def test_folds_are_pooled_before_they_are_scored() -> None:
    table = tables.summary([fold(0, [True, True, False, True]), fold(1, [True, False, True, True, True, False])])
    truth = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    predicted = [0, 1, 1, 1, 0, 0, 0, 1, 0, 0]
    expected = f1_score(truth, predicted, average="weighted")
    assert table["3 s mean"].tolist() == pytest.approx([expected, expected])
    assert table["pooled_folds"].tolist() == ["2", "2"]
    assert table["seeds"].tolist() == [1, 1]


def test_a_seed_that_lacks_a_fold_stays_out_of_the_mean() -> None:
    """One fold alone is another test set; its score is not comparable."""
    table = tables.summary([fold(0, GOOD), fold(1, GOOD), fold(0, BAD, seed=21)])
    assert table["3 s mean"].tolist() == [1, 1]
    assert table["seeds"].tolist() == [1, 1]


def test_folds_that_are_not_finished_are_told() -> None:
    assert tables.summary([fold(0, GOOD, n_folds=5), fold(3, GOOD, n_folds=5)])["pooled_folds"].tolist() == [
        "2 of 5",
        "2 of 5",
    ]


def test_models_of_one_name_are_two() -> None:
    table = tables.summary([cell(GOOD, model="CRNN"), cell(BAD, model="mine.CRNN")])
    assert table[table["level"] == "song"].set_index("model")["3 s mean"].to_dict() == {"CRNN": 1, "mine.CRNN": 0}


def test_an_axis_of_least_seconds_is_a_row_each() -> None:
    table = tables.summary([cell(GOOD, min_seconds=3.0), cell(BAD, min_seconds=10.0)])
    assert table[table["level"] == "song"].set_index("min_seconds")["3 s mean"].to_dict() == {"3.0": 1, "10.0": 0}


def test_clip_lengths_are_columns_by_their_exact_length() -> None:
    table = tables.summary([cell(GOOD, clip_seconds=20.096), cell(BAD, clip_seconds=20.1)])
    assert table["20.096 s mean"].tolist() == [1, 1]
    assert table["20.1 s mean"].tolist() == [0, 0]


def test_the_aggregates_are_the_summarys() -> None:
    cells = [cell(GOOD, model_seed=0), cell([True, True, True, False], model_seed=21), cell(BAD, model="mine.CRNN")]
    found, row = tables.aggregates(cells), tables.summary(cells).iloc[0]
    assert (row["model"], row["level"]) == ("CRNN", "slice")
    for what in ("mean", "best", "std"):
        assert found[f"SongSplit CRNN 3 s/slice/f1 {what}"] == row[f"3 s {what}"]
    assert found["SongSplit mine.CRNN 3 s/song/f1 mean"] == 0
    assert "SongSplit mine.CRNN 3 s/song/f1 std" not in found
