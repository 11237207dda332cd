"""Songs of an experiment as sound that a browser plays, wherever its dataset has them from."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crnn_bench import plugins
from crnn_bench.datasets import Dataset
from crnn_bench.errors import BenchError
from crnn_bench.schema import checked

COMPRESSION = 0.9  # of libsndfile's MP3: 0 is the best sound, 1 the smallest file


def dataset(parameters: Mapping[str, Any]) -> Dataset:
    """A cell's dataset, built again from its parameters.

    Raises:
        BenchError: its class is not there any more, takes other arguments today, or has no audio.
    """
    cls = plugins.find(parameters["dataset"], Dataset)
    known = plugins.parameters(cls)
    given = {name.partition(".")[2]: value for name, value in parameters.items() if name.startswith("dataset.")}
    try:
        taken = {name: checked(known[name].annotation, value) for name, value in given.items() if name in known}
        built: Dataset = cls(**taken)
    except (TypeError, ValueError) as error:
        raise BenchError(f"{cls.__name__} of today does not take its arguments: {error}") from None
    if built.features:
        raise BenchError(f"{built.name} holds no audio")
    return built


def has_sound(path: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a song can be played: its file is there, or its dataset makes it without one."""
    if path:
        return Path(path).is_file()
    try:
        dataset(parameters)
    except BenchError:
        return False
    return True


def mp3(samples: NDArray[np.float32], sample_rate: int) -> bytes:
    """Mono samples (n,) at `sample_rate` Hz as a small MP3 file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="MP3", compression_level=COMPRESSION)
    return buffer.getvalue()
