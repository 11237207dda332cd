"""Datasets: one file each; a dataset lists its tracks and reads their audio."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import audio
from crnn_bench.plugins import digest


class Dataset(ABC):
    """A collection of labelled tracks. Constructor arguments are stored under their own names.

    A subclass in a file of its own is all that a new dataset needs.
    """

    @property
    def name(self) -> str:
        """Names the dataset in tables and in MLflow."""
        return type(self).__name__

    @abstractmethod
    def tracks(self) -> pd.DataFrame:
        """Lists every track, one row each, in any order.

        Returns:
            Columns `track_id` (unique and stable: a relative path with forward slashes), `path` (where the audio
            is, absolute; may be empty where `read` needs no file), `label` (what is to be predicted), `artist`, `album`
            (empty where unknown), `title`, and `fingerprint` (changes whenever the audio does).

        Raises:
            BenchError: nothing usable is there; names the folder or file.
        """

    def read(self, track: pd.Series, sample_rate: int) -> NDArray[np.float32]:
        """Returns a track's mono samples of shape (n,) at `sample_rate` Hz; raises `audio.UnusableAudioError`."""
        return audio.load(Path(track["path"]), sample_rate)


def fingerprint(path: Path) -> str:
    """A file's size, modification time and place: cheap, and changed by whatever rewrites or replaces the file."""
    if not path.is_file():
        return "missing"
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}-{digest(str(path.resolve()), 8)}"
