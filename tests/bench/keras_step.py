"""The training step beside that of the same network in Keras on TensorFlow, where there is one."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from crnn_bench.numerics import numerics_of
from tests import bench_keras
from tests.bench.measuring import Machine, Row, in_turns
from tests.bench.training import BATCH, BINS, bare_steps, built, random_slices

LENGTHS = ((3.0, 12, 3.5), (30.0, 2, None))  # seconds of a slice, steps a round, least ratio


def rows(console: Console, _: Machine) -> Iterator[Row]:
    """At 3 s and at 30 s; TensorFlow may live in an environment of its own, whose Python KERAS_PYTHON names."""
    python = os.environ.get("KERAS_PYTHON", sys.executable)
    if isinstance(bench_keras.rates(python, ()), str):
        console.print(
            "Keras: not installed (pip install 'crnn-bench[keras]', or KERAS_PYTHON=…/bin/python)", markup=False
        )
        return
    console.print("training step beside Keras on TensorFlow: the same network, fp32, its defaults; each in its process")
    for seconds, steps, wanted in LENGTHS:
        slices = random_slices(steps * BATCH, seconds)
        frames = int(slices.length[0])
        with tempfile.TemporaryDirectory() as folder:
            chosen = numerics_of("auto", lambda s=slices: built(s), (BATCH, BINS, frames), Path(folder))

        def keras(frames: int = frames) -> float:
            return float(bench_keras.rates(python, (frames,))[frames])  # type: ignore[index]

        theirs, ours = in_turns(keras, bare_steps(slices, chosen))
        yield Row(f"beside Keras, {seconds:g} s", "slices/s", theirs, ours, wanted, None)
