"""Answers of two classifiers → whether their difference is chance: paired tests, and their correction."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crnn_bench import resampling
from crnn_bench.errors import BenchError
from crnn_bench.metrics import Additive
from crnn_bench.statistics import EQUAL, RESAMPLES, Answers, Seeds, cluster_names, summed


def permutation(ours: Seeds, theirs: Seeds, metric: Additive) -> float:
    """How likely a difference of mean scores as great as theirs were, if it were chance who gave which answers.

    The two swap their answers to whole clusters, the same ones with all seeds: all swaps where there are 10,000 or less
    (of clusters that they answer differently, for the others change nothing), else 10,000 random ones, with the one
    that happened among them (Phipson & Smyth 2010). It is about these trained models; how much training scatters
    is in the interval of `statistics.difference`.

    Args:
        ours, theirs: by seed; of the seeds that both have, the items must be the same.
        metric: of the scores.

    Raises:
        BenchError: no seed is shared, or the two have not heard the same.
    """
    shared = [seed for seed in ours if seed in theirs]
    if not shared or any(_heard(ours[seed]) != _heard(theirs[seed]) for seed in shared):
        raise BenchError("only answers to the same test songs, with the same seeds, can be swapped")
    both = [{seed: some[seed] for seed in shared} for some in (ours, theirs)]
    names = cluster_names(both)
    mine, other = (summed(seeds, metric, names) for seeds in both)
    return swapped(mine, other, metric)


def swapped(ours: NDArray[np.float64], theirs: NDArray[np.float64], metric: Additive) -> float:
    """The p-value of `permutation` from sums, each (clusters, seeds, …)."""
    change = theirs - ours
    change = change[np.abs(change).max(axis=tuple(range(1, change.ndim))) > EQUAL]
    mine, other = ours.sum(axis=0), theirs.sum(axis=0)

    def apart(moved: NDArray[np.float64]) -> NDArray[np.float64]:
        difference = (metric.of(mine + moved) - metric.of(other - moved)).mean(axis=-1)
        return np.asarray(np.abs(difference), dtype=np.float64)

    observed = apart(np.zeros_like(mine)) - EQUAL
    n, changes = len(change), np.flatnonzero(change.any(axis=0))  # of classes' counts, no true ones
    flat = change.reshape(n, mine.size)[:, changes]
    exact = 2**n <= RESAMPLES
    rng = np.random.default_rng(0)
    hits, first = 0, 0
    for count in resampling.chunks(2**n if exact else RESAMPLES, n + mine.size):
        numbers = np.arange(first, first + count)
        swaps = numbers[:, None] >> np.arange(n) & 1 if exact else rng.integers(2, size=(count, n))
        moved = np.zeros((count, mine.size))
        moved[:, changes] = swaps.astype(np.float64) @ flat
        hits += int((apart(moved.reshape(count, *mine.shape)) >= observed).sum())
        first += count
    return hits / first if exact else (1 + hits) / (1 + first)


def holm(p: Sequence[float]) -> list[float]:
    """p-values of several tests, such that all that are below α are so together but for a chance of α (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.asarray(p, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    found = np.empty(len(order))
    found[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(value) for value in found]


def _heard(answers: Answers) -> list[tuple[str, int]]:
    return sorted(zip(answers.clusters.tolist(), answers.truth.tolist(), strict=True))
