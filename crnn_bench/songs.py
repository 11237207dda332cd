"""Songs as a model places them: one vector and one answer each, in one Parquet file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crnn_bench.errors import BenchError
from crnn_bench.whole import replacing

if TYPE_CHECKING:
    import pandas as pd

FAULTS = (OSError, KeyError, ValueError)  # of a file; pyarrow's are among them


@dataclass(frozen=True)
class Songs:
    """Songs in the space of a model.

    Attributes:
        table: one row a song; `track_id, path, label, artist, album, title, seconds`, and what else its maker knows.
        vectors: (songs, width) float32, the mean of each song's slices in the model's embedding.
        probabilities: (songs, classes) float32, likewise.
        classes: their order.
    """

    table: "pd.DataFrame"
    vectors: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.table)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Songs":
        """Those that a mask or positions choose, in this order."""
        table = self.table.iloc[np.flatnonzero(chosen) if chosen.dtype == bool else chosen].reset_index(drop=True)
        return Songs(table, self.vectors[chosen], self.probabilities[chosen], self.classes)

    def save(self, path: Path) -> Path:
        """Writes them, whole or not at all."""
        columns = {"vector": list(self.vectors), "probabilities": list(self.probabilities)}
        table = self.table.assign(**columns)
        table.attrs = {"classes": list(self.classes)}
        with replacing(path) as part:
            table.to_parquet(part, index=False)
        return path


def joined(some: Sequence[Songs]) -> Songs:
    """Songs of one model, one after the other."""
    import pandas as pd

    table = pd.concat([songs.table for songs in some], ignore_index=True)
    vectors, probabilities = ([getattr(songs, name) for songs in some] for name in ("vectors", "probabilities"))
    return Songs(table, np.concatenate(vectors), np.concatenate(probabilities), some[0].classes)


def load(path: Path) -> Songs:
    """Reads what `Songs.save` wrote.

    Raises:
        BenchError: the file is absent, damaged or not ours.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(path)
        classes = tuple(table.attrs["classes"])
        vectors, probabilities = (np.array(table[name].tolist(), np.float32) for name in ("vector", "probabilities"))
    except FAULTS as error:
        raise _no_songs(path, error) from None
    return Songs(
        table.drop(columns=["vector", "probabilities"]), vectors, probabilities.reshape(len(table), -1), classes
    )


def vectors(path: Path) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """Only where the songs in a file lie, (songs, width), and of what part each is; read without pandas.

    Raises:
        BenchError: as `load`.
    """
    from pyarrow.parquet import ParquetFile

    try:
        columns = ParquetFile(path).read(columns=["vector", "part"]).to_pydict()
        return np.array(columns["vector"], np.float32), np.array(columns["part"], object)
    except FAULTS as error:
        raise _no_songs(path, error) from None


def _no_songs(path: Path, error: Exception) -> BenchError:
    return BenchError(f"{path} holds no songs of a model ({type(error).__name__}); run its experiment again")


def path_of(out: Path, name: str) -> Path:
    """Where the songs of a cell are, in its results folder."""
    return out / "songs" / f"{name}.parquet"


def of_model(bundle: Path) -> Path:
    """Where the songs of a model are: beside the folder of its file."""
    return path_of(bundle.parent.parent, bundle.stem)
