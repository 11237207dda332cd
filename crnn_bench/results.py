"""What a cell leaves on disk: its predictions, and a record of how they came about, in one file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crnn_bench.errors import BenchError
from crnn_bench.records import Predictions
from crnn_bench.whole import replacing

RECORD = b"crnn_bench"


@dataclass(frozen=True)
class Result:
    """A finished cell.

    Attributes:
        predictions: of validation and test slices.
        record: plain data: `name, identity, parameters, classes, run_id`, counts, seconds, history.
        embeddings: `track_id, part, label` and the bottleneck `e0 …` of every slice, or `None`.
    """

    predictions: Predictions
    record: dict[str, Any]
    embeddings: pd.DataFrame | None

    @property
    def name(self) -> str:
        """Of the cell's files."""
        return str(self.record["name"])

    def save(self, out: Path) -> list[Path]:
        """Writes `predictions/NAME.parquet` and, where there are some, `embeddings/NAME.parquet`, each whole or not."""
        table = pa.Table.from_pandas(self.predictions.table, preserve_index=False)
        metadata = {**(table.schema.metadata or {}), RECORD: json.dumps(self.record).encode()}
        written = [_write(table.replace_schema_metadata(metadata), predictions_path(out, self.name))]
        if self.embeddings is not None:
            vectors = pa.Table.from_pandas(self.embeddings, preserve_index=False)
            written.append(_write(vectors, embeddings_path(out, self.name)))
        return written


def predictions_path(out: Path, name: str) -> Path:
    """Where a cell's predictions are."""
    return out / "predictions" / f"{name}.parquet"


def embeddings_path(out: Path, name: str) -> Path:
    """Where a cell's bottleneck vectors are."""
    return out / "embeddings" / f"{name}.parquet"


def load(out: Path, name: str) -> Result:
    """Reads a stored cell.

    Raises:
        BenchError: the file is damaged or not ours.
    """
    path, vectors = predictions_path(out, name), embeddings_path(out, name)
    try:
        table = pq.read_table(path)
        record = json.loads((table.schema.metadata or {})[RECORD])
        embeddings = pd.read_parquet(vectors) if vectors.is_file() else None
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BenchError(
            f"{path} is no whole predictions file ({type(error).__name__}); remove it and run again"
        ) from None
    return Result(Predictions(table.to_pandas(), tuple(record["classes"])), record, embeddings)


def _write(table: pa.Table, path: Path) -> Path:
    with replacing(path) as part:
        pq.write_table(table, part)
    return path
