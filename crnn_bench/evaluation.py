"""Predictions → scores; pure, so it runs again from stored predictions."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench.aggregations import Aggregation
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.metrics import Metric
from crnn_bench.plugins import options
from crnn_bench.records import Predictions

SONG_RULE = SureVote.name  # the paper's; `song/…` without a rule's name means this one


def songs(predictions: Predictions, aggregation: Aggregation) -> pd.DataFrame:
    """Compiles slices to songs.

    Returns:
        One row a song, sorted by `track_id`: `track_id, truth, predicted` and a column `p_<label>` for each class.
    """
    order = np.argsort(predictions.table["track_id"].to_numpy(dtype=str), kind="stable")
    tracks, first = np.unique(predictions.table["track_id"].to_numpy(dtype=str)[order], return_index=True)
    groups = np.split(predictions.probabilities[order], first[1:])
    compiled = np.stack([aggregation.song_probabilities(group) for group in groups])
    truth = predictions.table["truth"].to_numpy()[order][first]
    predicted = np.asarray(predictions.classes, dtype=object)[compiled.argmax(axis=1)]
    table = pd.DataFrame({"track_id": tracks, "truth": truth, "predicted": predicted})
    return pd.concat([table, pd.DataFrame(compiled, columns=[f"p_{label}" for label in predictions.classes])], axis=1)


def scores(predictions: Predictions, slice_level: bool = True) -> dict[str, float]:
    """Every metric per slice and per song.

    Args:
        predictions: of one part; of several folds put together, to score them as one.
        slice_level: false where each song is one prediction, and the slice level would say the same twice.

    Returns:
        `slice/<metric>`, `song/<metric>` by the paper's vote (by mean probabilities where a metric wants such), and
        `song/<metric>/<aggregation>` for the others, where a metric is told by each rule.
    """
    result: dict[str, float] = {}
    asked = metrics()
    if slice_level:
        result |= {f"slice/{m.name}": m.score(predictions.truth, predictions.probabilities) for m in asked}
    for rule in aggregations():
        _, truth, probabilities = compiled(predictions, rule)
        for metric in asked:
            if type(rule_of(metric)) is type(rule):
                result[f"song/{metric.name}"] = metric.score(truth, probabilities)
            elif metric.by_rule:
                result[f"song/{metric.name}/{rule.name}"] = metric.score(truth, probabilities)
    return result


def rule_of(metric: Metric) -> Aggregation:
    """How slices are compiled to the songs that `song/<metric>` is about."""
    return SureVote() if metric.of_votes else MeanProbability()


def compiled(
    predictions: Predictions, rule: Aggregation
) -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.float64]]:
    """Songs (songs,), sorted, their true class numbers (songs,) and their probabilities (songs, classes)."""
    table = songs(predictions, rule)
    truth = pd.Categorical(table["truth"], categories=list(predictions.classes)).codes.astype(np.int64)
    columns = [f"p_{label}" for label in predictions.classes]
    return table["track_id"].to_numpy(dtype=str), truth, table[columns].to_numpy(dtype=np.float64)


def song_classes(predictions: Predictions, rule: Aggregation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and predicted class numbers of each song, (songs,) and (songs,)."""
    _, truth, probabilities = compiled(predictions, rule)
    return truth, probabilities.argmax(axis=1)


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Counts, (true class, predicted class)."""
    return np.bincount(truth * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def metrics() -> list[Metric]:
    """One of each metric in the folder, by name."""
    return sorted((cls() for cls in set(options(Metric).values())), key=lambda metric: metric.name)


def aggregations() -> list[Aggregation]:
    """One of each aggregation in the folder, by name."""
    return sorted((cls() for cls in set(options(Aggregation).values())), key=lambda rule: rule.name)
