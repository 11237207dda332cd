"""What a cell leaves on disk: its predictions, and a record of how they came about, in one file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crnn_bench import songs
from crnn_bench.errors import BenchError
from crnn_bench.records import Predictions
from crnn_bench.songs import Songs
from crnn_bench.whole import replacing

RECORD = b"crnn_bench"


@dataclass(frozen=True)
class Result:
    """A finished cell.

    Attributes:
        predictions: of validation and test slices.
        record: plain data: `name, identity, parameters, classes, run_id`, counts, seconds, history.
        embeddings: `track_id, part, label` and the bottleneck `e0 …` of every slice, or `None`.
        deformed: predictions of deformed test slices, or `None`; more columns say how each was deformed: `deformation,
            strength, unit, undeformed` (the strength that leaves a song as it is).
        songs: where the model places the songs of every part; `None` once it is stored (`songs.load` reads them).
    """

    predictions: Predictions
    record: dict[str, Any]
    embeddings: pd.DataFrame | None
    deformed: Predictions | None = None
    songs: Songs | None = None

    @property
    def name(self) -> str:
        """Of the cell's files."""
        return str(self.record["name"])

    def save(self, out: Path) -> dict[str, Path]:
        """Writes `FOLDER/NAME.parquet`, each whole or not: `predictions`; `embeddings`, `deformed` and `songs` if any.

        Returns:
            Files by folder.
        """
        table = pa.Table.from_pandas(self.predictions.table, preserve_index=False)
        metadata = {**(table.schema.metadata or {}), RECORD: json.dumps(self.record).encode()}
        tables = {"predictions": table.replace_schema_metadata(metadata)}
        if self.embeddings is not None:
            tables["embeddings"] = pa.Table.from_pandas(self.embeddings, preserve_index=False)
        if self.deformed is not None:
            tables["deformed"] = pa.Table.from_pandas(self.deformed.table, preserve_index=False)
        written = {folder: _write(some, _path(out, folder, self.name)) for folder, some in tables.items()}
        if self.songs is not None:
            written["songs"] = self.songs.save(songs.path_of(out, self.name))
        return written


def predictions_path(out: Path, name: str) -> Path:
    """Where a cell's predictions are."""
    return _path(out, "predictions", name)


def embeddings_path(out: Path, name: str) -> Path:
    """Where a cell's bottleneck vectors are."""
    return _path(out, "embeddings", name)


def _path(out: Path, folder: str, name: str) -> Path:
    return out / folder / f"{name}.parquet"


def load(out: Path, name: str) -> Result:
    """Reads a stored cell.

    Raises:
        BenchError: the file is damaged or not ours.
    """
    path, vectors, answers = (_path(out, folder, name) for folder in ("predictions", "embeddings", "deformed"))
    try:
        table = pq.read_table(path)
        record = json.loads((table.schema.metadata or {})[RECORD])
        embeddings = pd.read_parquet(vectors) if vectors.is_file() else None
        deformed = pd.read_parquet(answers) if answers.is_file() else None
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BenchError(
            f"{path} is no whole predictions file ({type(error).__name__}); remove it and run again"
        ) from None
    classes = tuple(record["classes"])
    heard = None if deformed is None else Predictions(deformed, classes)
    return Result(Predictions(table.to_pandas(), classes), record, embeddings, heard)


def _write(table: pa.Table, path: Path) -> Path:
    with replacing(path) as part:
        pq.write_table(table, part)
    return path
