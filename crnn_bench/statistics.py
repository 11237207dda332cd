"""Answers → how sure their scores are: intervals by resampling what belongs together, and paired tests.

Resampling is by cluster: an album's songs share a sound, a song's slices all but everything.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import Additive

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Answers:
    """What a classifier said of some items (slices or songs).

    Attributes:
        truth: (items,) class numbers.
        probabilities: (items, classes).
        clusters: (items,) names of what belongs together; equal names are the same songs or albums for all classifiers.
    """

    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    clusters: NDArray[np.object_]


@dataclass(frozen=True)
class Interval:
    """A number, and between what bounds it lies with the given confidence."""

    value: float
    low: float
    high: float


Seeds = Mapping[Hashable, Answers]  # what the same classifier said, trained with each seed


def interval(answers: Seeds, metric: Additive, confidence: float = CONFIDENCE) -> Interval:
    """The mean score over seeds.

    Args:
        answers: by seed.
        metric: of the score.
        confidence: of the interval.
    """
    names = sorted({name for some in answers.values() for name in some.clusters})
    place = {name: index for index, name in enumerate(names)}
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES).astype(np.float64)
    values, drawn = [], []
    for some in answers.values():
        summands = metric.summands(some.truth, some.probabilities)
        owners = np.array([place[name] for name in some.clusters])
        sums = np.zeros((len(names), *summands.shape[1:]))
        np.add.at(sums, owners, summands)
        values.append(float(metric.of(sums.sum(axis=0))))
        drawn.append(metric.of(np.tensordot(weights, sums, axes=1)))
    low, high = np.quantile(np.mean(drawn, axis=0), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(np.mean(values)), float(low), float(high))
