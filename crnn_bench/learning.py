"""Histories of many networks → how soon they reach a score, and their learning curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import grouping
from crnn_bench.errors import BenchError
from crnn_bench.results import Result


def epochs_to(cells: Sequence[Result], score: float) -> pd.DataFrame:
    """How many epochs the validation accuracy takes to reach a score, one row a group of cells.

    Args:
        cells: finished ones; those without a validation accuracy for each epoch have no row.
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
    for group, curves in _curves(cells):
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


def curves(cells: Sequence[Result]) -> pd.DataFrame:
    """Validation accuracy by epoch: `group, epoch` (from 1), `mean, std` over its seeds and folds, and `whole`.

    A run that stopped early has no say in the epochs after; `whole` is whether all runs of the group are still there.
    """
    found = list(_curves(cells))
    rows = []
    for (_, some), label in zip(found, grouping.labels([group for group, _ in found]), strict=True):
        for epoch in range(max(map(len, some))):
            values = [curve[epoch] for curve in some if len(curve) > epoch]
            std = np.std(values, ddof=1) if len(values) > 1 else np.nan
            mean, whole = np.mean(values), len(values) == len(some)
            rows.append({"group": label, "epoch": epoch + 1, "mean": mean, "std": std, "whole": whole})
    return pd.DataFrame(rows, columns=["group", "epoch", "mean", "std", "whole"])


def _curves(cells: Sequence[Result]) -> list[tuple[grouping.Group, list[list[float]]]]:
    """Each group that has histories, and its runs' validation accuracies by epoch."""
    found = []
    for group in grouping.groups(cells):
        runs = [[e["validation_accuracy"] for e in cell.record["history"]] for cell in group.cells if _tells(cell)]
        if runs:
            found.append((group, runs))
    return found


def _tells(cell: Result) -> bool:
    history = cell.record.get("history", [])
    return bool(history) and all("validation_accuracy" in epoch for epoch in history)


def _first(curve: Sequence[float], score: float) -> int | None:
    return next((epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= score), None)
