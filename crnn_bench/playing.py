"""Songs of an experiment as sound that a browser plays, wherever its dataset has them from."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import plugins
from crnn_bench.datasets import Dataset
from crnn_bench.errors import BenchError
from crnn_bench.schema import checked

COMPRESSION = 0.9  # of libsndfile's MP3: 0 is the best sound, 1 the smallest file


def dataset(parameters: Mapping[str, Any]) -> Dataset:
    """A cell's dataset, built again from its parameters.

    Raises:
        BenchError: its class is not there any more, or takes other arguments today.
    """
    cls = plugins.find(parameters["dataset"], Dataset)
    known = plugins.parameters(cls)
    given = {name.partition(".")[2]: value for name, value in parameters.items() if name.startswith("dataset.")}
    try:
        taken = {name: checked(known[name].annotation, value) for name, value in given.items() if name in known}
        built: Dataset = cls(**taken)
    except (TypeError, ValueError) as error:
        raise BenchError(f"{cls.__name__} of today does not take its arguments: {error}") from None
    return built


def samples(made: Dataset, song: pd.Series, sample_rate: int) -> NDArray[np.float32]:
    """A song's mono samples (n,) at `sample_rate` Hz, as its dataset reads or makes them.

    Raises:
        BenchError: the dataset has no audio, but ready-made features.
    """
    if made.features:
        raise BenchError(f"{made.name} holds no audio")
    return made.read(song, sample_rate)


def has_sound(path: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a song can be played: its file is there, or its dataset makes it without one."""
    if path:
        return Path(path).is_file()
    try:
        return not dataset(parameters).features
    except BenchError:
        return False


def mp3(sound: NDArray[np.float32], sample_rate: int) -> bytes:
    """Mono samples (n,) at `sample_rate` Hz as a small MP3 file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, sound, sample_rate, format="MP3", compression_level=COMPRESSION)
    return buffer.getvalue()
