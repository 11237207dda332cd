"""Intervals by resampling songs."""

from collections.abc import Iterator

import numpy as np
from rich.console import Console
from sklearn.metrics import f1_score

from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.statistics import RESAMPLES, Answers, interval
from tests.bench.measuring import Machine, Row, in_turns, timed

N_RESAMPLES = 50


def rows(console: Console, _: Machine) -> Iterator[Row]:
    """Resamples of 20,000 slices of 20 classes in 200 songs."""
    console.print("bootstrap: 20,000 slices of 20 classes, clustered by song; plain way: scikit-learn's F1 in a loop")
    rng = np.random.default_rng(0)
    song = rng.integers(200, size=20_000)
    truth = song % 20
    predicted = np.where(rng.random(20_000) < 0.7, truth, rng.integers(20, size=20_000))
    answers = Answers(truth, np.eye(20)[predicted], np.array([f"song {n}" for n in song], dtype=object))
    slices = [np.flatnonzero(song == n) for n in range(200)]

    def plainly() -> None:
        for _ in range(N_RESAMPLES):
            chosen = np.concatenate([slices[n] for n in rng.integers(200, size=200)])
            f1_score(truth[chosen], predicted[chosen], average="weighted")

    plain, ours = in_turns(
        lambda: timed(plainly, N_RESAMPLES),
        lambda: timed(lambda: interval({0: answers}, WeightedF1()), RESAMPLES),
    )
    yield Row("bootstrap", "resamples/s", plain, ours, 50)
