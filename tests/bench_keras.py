"""The CRNN of the paper in Keras on TensorFlow, for comparison; runs in an environment of its own.

`PYTHON tests/bench_keras.py` prints the slices a second of training as JSON, by frames of a slice, for a PYTHON whose
environment has TensorFlow (`pip install tensorflow-cpu`). `rates` does so from another environment.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BATCH = 16
BINS = 128
N_CLASSES = 6
STEPS = {94: 10, 938: 1}  # by frames of a slice, 3 and 30 s
ROUNDS = 5
BLOCKS = ((64, (2, 2)), (128, (4, 2)), (128, (4, 2)), (128, (4, 2)))
NOT_INSTALLED = "not installed"


def rates(python: str = sys.executable, frames: tuple[int, ...] = tuple(STEPS)) -> dict[int, float] | str:
    """Slices a second by frames of a slice, or that TensorFlow is not installed for this Python."""
    asked = [python, str(Path(__file__).resolve()), *map(str, frames)]
    answer = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    told = json.loads(answer.stdout.splitlines()[-1])
    return told if isinstance(told, str) else {int(length): rate for length, rate in told.items()}


def network(frames: int) -> Any:
    """The same layers as `crnn_bench.models.crnn.CRNN`, with its batch norms' momentum and epsilon."""
    from keras import Sequential, layers

    norm = {"momentum": 0.9, "epsilon": 1e-5}
    model = Sequential([layers.Input((BINS, frames, 1)), layers.BatchNormalization(axis=1, **norm)])
    for channels, size in BLOCKS:
        model.add(layers.Conv2D(channels, 3, padding="same"))
        model.add(layers.ELU())
        model.add(layers.BatchNormalization(axis=3, **norm))
        model.add(layers.MaxPooling2D(size))
        model.add(layers.Dropout(0.1))
    _, bins, steps, channels = model.output_shape
    model.add(layers.Permute((2, 1, 3)))
    model.add(layers.Reshape((steps, bins * channels)))
    model.add(layers.GRU(32, return_sequences=True))
    model.add(layers.GRU(32))
    model.add(layers.Dropout(0.3))
    model.add(layers.Dense(N_CLASSES, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def rate(frames: int) -> float:
    """The median of a few rounds of training steps."""
    import numpy as np

    model = network(frames)
    x = np.random.default_rng(0).normal(-30, 15, (BATCH, BINS, frames, 1)).astype(np.float32)
    y = np.arange(BATCH) % N_CLASSES
    model.train_on_batch(x, y)  # builds the graph
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(STEPS[frames]):
            model.train_on_batch(x, y)
        seconds.append(time.perf_counter() - started)
    return BATCH * STEPS[frames] / statistics.median(seconds)


def main() -> None:
    """Prints the rates for the frames that were asked for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow  # type: ignore[import-not-found]  # noqa: F401
    except ModuleNotFoundError:
        print(json.dumps(NOT_INSTALLED))
        return
    print(json.dumps({frames: rate(frames) for frames in map(int, sys.argv[1:] or STEPS)}))


if __name__ == "__main__":
    main()
