"""Histories of many networks → how soon they reach a score, and their learning curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from crnn_bench import grouping
from crnn_bench.errors import BenchError
from crnn_bench.grouping import Group
from crnn_bench.results import Result
from crnn_bench.statistics import CONFIDENCE


def epochs_to(groups: Sequence[Group], score: float) -> pd.DataFrame:
    """How many epochs the validation accuracy takes to reach a score, one row a group of cells.

    Args:
        groups: of finished cells; those without a validation accuracy for each epoch have no row.
        score: 0 to 1.

    Returns:
        What tells the group apart, `clip`, `runs` (seeds × folds), `reached` (how many of them), `epochs_mean` (over
        those alone), `epochs` (of each run, `–` where it never reached the score; the first epoch is 1),
        `best_validation_accuracy` (mean over runs), and `f1_slice`, `f1_song` on the test part, as in the summary.

    Raises:
        BenchError: the score is no accuracy, or no cell has a history of accuracies.
    """
    refuse_unless_accuracy(score)
    rows = []
    for group, curves in _curves(groups):
        first = [_first(curve, score) for curve in curves]
        hits = [epoch for epoch in first if epoch is not None]
        row: dict[str, Any] = {**group.words, "clip": group.clip, "runs": len(curves), "reached": len(hits)}
        row["epochs_mean"] = np.mean(hits) if hits else np.nan
        row["epochs"] = ", ".join("–" if epoch is None else str(epoch) for epoch in first)
        row["best_validation_accuracy"] = np.mean([max(curve) for curve in curves])
        rows.append({**row, **{f"f1_{level}": group.scores[level].mean() for level in grouping.LEVELS}})
    if not rows:
        raise BenchError("no cell tells its validation accuracy epoch by epoch; `crnn-bench run --rerun` trains anew")
    return pd.DataFrame(rows)


def refuse_unless_accuracy(score: float) -> None:
    """Raises `BenchError` for a score that no accuracy can be."""
    if not 0 <= score <= 1:  # nor NaN
        raise BenchError(f"--reach is a validation accuracy from 0 to 1, got {score:g}")


def curves(groups: Sequence[Group]) -> pd.DataFrame:
    """Validation accuracy by epoch: `group, epoch` (from 1), `mean, std, low, high` over its runs, and `whole`.

    `low` and `high` are the mean's 95% interval, by Student's t over the runs, as if they did not share songs. A run
    that stopped early has no say in the epochs after; `whole` is whether all runs of the group are still there.
    """
    found = _curves(groups)
    rows = []
    for (_, some), label in zip(found, grouping.labels([group for group, _ in found]), strict=True):
        for epoch in range(max(map(len, some))):
            values = np.array([curve[epoch] for curve in some if len(curve) > epoch])
            row = {"group": label, "epoch": epoch + 1, **_spread(values)}
            rows.append({**row, "whole": len(values) == len(some)})
    return pd.DataFrame(rows, columns=["group", "epoch", "mean", "std", "low", "high", "whole"])


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return {"mean": mean, "std": np.nan, "low": np.nan, "high": np.nan}
    std = float(values.std(ddof=1))
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * std / n**0.5
    return {"mean": mean, "std": std, "low": max(mean - margin, 0.0), "high": min(mean + margin, 1.0)}


def _curves(groups: Sequence[Group]) -> list[tuple[Group, list[list[float]]]]:
    """Each group that has histories, and its runs' validation accuracies by epoch."""
    found = []
    for group in groups:
        runs = [[e["validation_accuracy"] for e in cell.record["history"]] for cell in group.cells if _tells(cell)]
        if runs:
            found.append((group, runs))
    return found


def _tells(cell: Result) -> bool:
    history = cell.record.get("history", [])
    return bool(history) and all("validation_accuracy" in epoch for epoch in history)


def _first(curve: Sequence[float], score: float) -> int | None:
    return next((epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= score), None)
