"""Datasets: one file each; a dataset lists its tracks and reads their audio."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import audio
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.features.rows import Rows
from crnn_bench.plugins import digest


class Dataset(ABC):
    """A collection of labelled tracks. Constructor arguments are stored under their own names.

    A subclass in a file of its own is all that a new dataset needs.
    """

    @property
    def name(self) -> str:
        """Names the dataset in tables and in MLflow."""
        return type(self).__name__

    @property
    def features(self) -> Feature | None:
        """The ready-made features of a dataset that has no audio; `None` where there is audio to compute them from."""
        return None

    @abstractmethod
    def tracks(self) -> pd.DataFrame:
        """Lists every track, one row each, in any order.

        Returns:
            Columns `track_id` (unique and stable: a relative path with forward slashes), `path` (where the audio
            is, absolute; may be empty where `read` needs no file), `label` (what is to be predicted), `artist`, `album`
            (empty where unknown), `title`, and `fingerprint` (changes whenever the audio does). A column `official`
            says in which part the dataset's authors put a track: `train`, `validation`, `test`, or nothing. A line in
            `attrs["remark"]` is shown to the user.

        Raises:
            BenchError: nothing usable is there; names the folder or file.
        """

    def read(self, track: pd.Series, sample_rate: float) -> NDArray[np.float32]:
        """Returns a track's mono samples of shape (n,) at `sample_rate` Hz; raises `audio.UnusableAudioError`."""
        return audio.load(Path(track["path"]), sample_rate)


@dataclass(frozen=True)
class Table:
    """Rows of ready-made features.

    Attributes:
        about: of each row `track_id, label, artist, album, title`, and `official` where the authors published a split.
        values: the features, one column each.
    """

    about: pd.DataFrame
    values: pd.DataFrame

    @cached_property
    def rows_of(self) -> Mapping[str, NDArray[np.int64]]:
        """The positions of each track's rows."""
        found: Mapping[str, NDArray[np.int64]] = self.about.reset_index(drop=True).groupby("track_id").indices
        return found


class ReadyMade(Dataset):
    """A dataset whose features are there already."""

    row_seconds: float | None = None

    @abstractmethod
    def table(self) -> Table:
        """The rows."""

    @property
    def features(self) -> Feature:
        return Rows(self.row_seconds)

    def read(self, track: pd.Series, sample_rate: float) -> NDArray[np.float32]:
        """A track's rows, (rows, columns); a track with a NaN is left out, by the column's name."""
        table = self.table()
        rows = table.values.iloc[table.rows_of[track["track_id"]]]
        values: NDArray[np.float32] = rows.to_numpy(np.float32)
        if not np.isfinite(values).all():
            column = rows.columns[int(np.argwhere(~np.isfinite(values))[0, 1])]
            raise audio.UnusableAudioError(f"its {column} is missing, NaN or infinite")
        return values


def fingerprint(path: Path) -> str:
    """A file's size, modification time and place: cheap, and changed by whatever rewrites or replaces the file.

    Raises:
        BenchError: the path is no text, since a disk gave a name in another encoding.
    """
    if not path.is_file():
        return "missing"
    status = path.stat()
    try:
        return f"{status.st_size}-{status.st_mtime_ns}-{digest(str(path.resolve()), 8)}"
    except UnicodeEncodeError:
        raise BenchError(f"{str(path)!a} is no name in UTF-8; rename the file or its folder") from None
