"""Groups of cells → every score with its interval, and what each class has of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import evaluation, statistics
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.grouping import LEVELS, Group
from crnn_bench.metrics import (
    TRUE,
    Additive,
    OfCounts,
    average_precision,
    class_f1,
    class_precision,
    class_recall,
    roc_auc,
)
from crnn_bench.metrics.calibration_error import bins
from crnn_bench.statistics import Answers, Interval, Seeds

UNKNOWN = Interval(np.nan, np.nan, np.nan)
SCORES = ("clip", "level", "metric", "mean", "std", "low", "high")
CLASSES = (
    "clip", "level", "label", "songs", "precision", "recall", "f1", "f1_low", "f1_high", "average_precision", "roc_auc",
)  # fmt: skip


def scores(groups: Sequence[Group]) -> pd.DataFrame:
    """Every metric of every group: what tells the group apart, `clip, level, metric, mean, std, low, high`.

    Mean, deviation and interval are over seeds; a metric that is no sum over items has no interval. Songs are compiled
    by the paper's vote, or by mean probabilities where a metric wants such.
    """
    rows = []
    for group in groups:
        for level in levels(group):
            known = _intervals(group, level)
            for metric in evaluation.metrics():
                values = np.array([found[f"{level}/{metric.name}"] for found in group.all_scores])
                about: dict[str, Any] = {**group.words, "clip": group.clip, "level": level, "metric": metric.name}
                std = values.std(ddof=1) if len(values) > 1 else np.nan
                bounds = known.get(metric.name, UNKNOWN)
                rows.append(about | {"mean": values.mean(), "std": std, "low": bounds.low, "high": bounds.high})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(SCORES))


def table(groups: Sequence[Group]) -> pd.DataFrame:
    """One row a class: what tells the group apart, `clip, level, label, songs` and the class's scores against the rest.

    `songs` is the number of test songs of the class, all numbers are means over the seeds that have such songs; a class
    that has none has no scores. Precision and F1 of songs are by the paper's vote, areas by mean probabilities.
    """
    rows = []
    for group in groups:
        for level in levels(group):
            told = group.answers(level)
            ranked = group.answers(level, MeanProbability()) if level == "song" else told
            songs = _songs(group)
            numbers = [_of_seed(told[seed], ranked[seed]) for seed in told]
            bounds = _f1_intervals(told)
            about = {**group.words, "clip": group.clip, "level": level}
            for index, label in enumerate(class_names(group)):
                means = {name: _mean([found[name][index] for found in numbers]) for name in numbers[0]}
                means |= {"f1_low": bounds[index].low, "f1_high": bounds[index].high}
                row = {**about, "label": label, "songs": songs[:, index].mean(), **means}
                rows.append({name: row[name] for name in (*group.words, *CLASSES)})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(CLASSES))


def confusion(group: Group, level: str) -> NDArray[np.int64]:
    """Counts (true class, predicted class) over all seeds; of songs by the paper's vote."""
    counts = [
        evaluation.confusion(some.truth, some.probabilities.argmax(axis=1), some.probabilities.shape[1])
        for some in group.answers(level).values()
    ]
    total: NDArray[np.int64] = np.sum(counts, axis=0)
    return total


def reliability(group: Group, level: str) -> pd.DataFrame:
    """How often answers of each sureness are right: `confidence, accuracy, answers`, a row a bin that has any.

    Bins are those of the calibration error; answers of all seeds are put together, songs by mean probabilities.
    """
    answers = group.answers(level, MeanProbability()).values()
    sure = np.concatenate([some.probabilities.max(axis=1) for some in answers])
    right = np.concatenate([some.probabilities.argmax(axis=1) == some.truth for some in answers])
    rows = pd.DataFrame({"bin": bins(sure), "confidence": sure, "accuracy": right})
    found = rows.groupby("bin").agg(confidence=("confidence", "mean"), accuracy=("accuracy", "mean"))
    return found.assign(answers=rows.groupby("bin").size()).reset_index(drop=True)


def levels(group: Group) -> tuple[str, ...]:
    """Levels at which a group has answers."""
    return LEVELS if group.hears_slices else ("song",)


def class_names(group: Group) -> tuple[str, ...]:
    """In the catalogue's order."""
    return next(iter(group.pooled.values())).classes


class _Together(Additive):
    """Several metrics of the same sums: they are resampled once, and a score is an array (batch …, metrics)."""

    def __init__(self, metrics: Sequence[Additive]) -> None:
        self.metrics = metrics
        self.best, self.worst = metrics[0].best, metrics[0].worst

    def summands(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.metrics[0].summands(truth, probabilities)

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([metric.of(totals) for metric in self.metrics], axis=-1)


class _ClassesF1(OfCounts):
    """F1 of each class, (batch …, classes)."""

    def of(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return class_f1(totals)


def _intervals(group: Group, level: str) -> dict[str, Interval]:
    """By name of a metric."""
    sums = [metric for metric in evaluation.metrics() if isinstance(metric, Additive)]
    batches: list[list[Additive]] = [[metric for metric in sums if isinstance(metric, OfCounts)]]
    batches += [[metric] for metric in sums if not isinstance(metric, OfCounts)]
    found: dict[str, Interval] = {}
    for batch in batches:
        answers = group.answers(level, evaluation.rule_of(batch[0]))
        [drawn] = statistics.scores([answers], _Together(batch))
        for index, metric in enumerate(batch):
            one = replace(drawn, values=drawn.values[:, index], drawn=drawn.drawn[..., index])
            found[metric.name] = one.interval()
    return found


def _f1_intervals(answers: Seeds) -> list[Interval]:
    """Of each class; unknown for one that some seed has no item of, or one cluster alone."""
    [drawn] = statistics.scores([answers], _ClassesF1())
    found = []
    for index in range(drawn.values.shape[1]):
        own = [set(some.clusters[some.truth == index]) for some in answers.values()]
        clusters = len(set().union(*own))
        one = replace(drawn, values=drawn.values[:, index], drawn=drawn.drawn[..., index])
        one = replace(one, clusters=clusters, freedom=clusters - 1)
        found.append(one.interval() if all(own) else UNKNOWN)
    return found


def _of_seed(told: Answers, ranked: Answers) -> dict[str, NDArray[np.float64]]:
    """Scores of each class, (classes,), NaN where it has no item."""
    counts = _ClassesF1().summands(told.truth, told.probabilities).sum(axis=0)
    there = counts[TRUE] > 0
    true = ranked.truth[:, None] == np.arange(len(there))
    pairs = list(zip(true.T, ranked.probabilities.T, strict=True))
    return {
        "precision": np.where(there, class_precision(counts), np.nan),
        "recall": np.where(there, class_recall(counts), np.nan),
        "f1": np.where(there, class_f1(counts), np.nan),
        "average_precision": np.array([average_precision.of_class(*pair) for pair in pairs]),
        "roc_auc": np.array([roc_auc.of_class(*pair) for pair in pairs]),
    }


def _songs(group: Group) -> NDArray[np.float64]:
    """(seeds, classes): numbers of test songs."""
    n_classes = len(class_names(group))
    return np.array([np.bincount(some.truth, minlength=n_classes) for some in group.answers("song").values()], float)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan
