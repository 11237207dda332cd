"""Features that somebody else computed, in a CSV or Parquet file: no audio needed."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from crnn_bench.audio import EXTENSIONS
from crnn_bench.datasets import ReadyMade, Table, fingerprint
from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice, digest

WORDS = ("artist", "album", "title", "song")  # known columns that are no features, besides `length`
REMEDY = "say what seconds a row describes, row_seconds, or split rows as if they were songs, unit: row"
PART = re.compile(r"^(.+?)[._-]\d+$")


class FeatureTable(ReadyMade):
    """A row a song, or a row for each few seconds of it, as the usual `features_30_sec.csv` and `features_3_sec.csv`.

    The columns `filename` and `label` (or others, by argument) say what a row is of; `artist`, `album`, `title` and
    `length` are known, too; every other column is a feature. With `row_seconds` a song is made of the rows whose names
    differ by the number at their end (`blues.00000.3.wav` is part 3 of `blues.00000`), or that share a column `song`:
    all of them lie on one side of any split.

    Args:
        path: of the CSV or Parquet file.
        row_seconds: of audio that a row describes; `None`: the whole song.
        unit: what a split deals out: `song`, or `row`, the customary way, which leaves rows of one song on both sides
            (the song stands as the album then, so that every run says how many are heard in training).
        filename, label: names of columns.
    """

    def __init__(
        self,
        path: str,
        row_seconds: float | None = None,
        unit: Literal["song", "row"] = "song",
        filename: str = "filename",
        label: str = "label",
    ) -> None:
        self.path = path
        self.row_seconds = row_seconds
        self.unit = unit
        self.filename = filename
        self.label = label
        if row_seconds is not None and not row_seconds > 0:
            raise BenchError(f"FeatureTable: row_seconds must be above 0, got {row_seconds}", "row_seconds")

    @property
    def name(self) -> str:
        return Path(self.path).stem

    def table(self) -> Table:
        path = Path(self.path).expanduser()
        return _read(path, fingerprint(path), self.row_seconds is not None, self.unit, self.filename, self.label)

    def tracks(self) -> pd.DataFrame:
        path, about = Path(self.path).expanduser(), self.table().about
        numbers = about["track_id"].value_counts()
        if (self.row_seconds is None or self.unit == "row") and numbers.iloc[0] > 1:
            raise BenchError(f"{path}: {numbers.index[0]} has {numbers.iloc[0]} rows; {REMEDY}")
        if self.row_seconds is None and self.unit == "song":
            _refuse_parts(path, about)
        print_ = f"{fingerprint(path)}-{digest(dict(Choice.of(self).arguments), 8)}"
        return about.drop_duplicates("track_id").assign(path="", fingerprint=print_)


@lru_cache(maxsize=2)
def _read(path: Path, _: str, parts: bool, unit: str, filename: str, label: str) -> Table:
    """Reads a table once for as long as the file's fingerprint stays."""
    raw = read_file(path)
    if filename not in raw and {"feature", "Unnamed: 1"} & set(raw.columns):
        raise BenchError(f"{path} is the FMA's features.csv, whose labels are in tracks.csv; use FmaFeatures")
    for column in (filename, label):
        if column not in raw:
            raise BenchError(
                f"{path}: no column {column!r}; it has {', '.join(map(str, raw.columns[:6]))} …; "
                f"say which with dataset.{'filename' if column == filename else 'label'}"
            )
    words = raw[[name for name in raw if name in (filename, label, *WORDS)]].astype(object).fillna("").astype(str)
    for column in (filename, label):
        empty = np.flatnonzero(words[column].str.strip() == "")
        if len(empty):
            raise BenchError(f"{path}: row {empty[0] + 1} has no {column}")
    rows = words[filename].map(_without_ending)
    songs = words["song"] if "song" in words else rows.map(_song) if parts else rows
    lost = rows[songs.isna()]
    if len(lost):
        raise BenchError(f"{path}: {lost.iloc[0]} has no number of its part at the end; add a column song")
    by_row = unit == "row"
    about = pd.DataFrame({"track_id": words[label] + "/" + (rows if by_row else songs), "label": words[label]})
    about["album"] = songs if by_row else words.get("album", "")
    about["artist"], about["title"] = words.get("artist", ""), words.get("title", rows)
    torn = about["label"].groupby(songs).nunique()
    if torn.max() > 1 and (parts or "song" in words):
        raise BenchError(f"{path}: the rows of {torn.idxmax()} have different labels")
    return Table(about, _numbers(path, raw.drop(columns=[*words, *(name for name in ("length",) if name in raw)])))


def _numbers(path: Path, values: pd.DataFrame) -> pd.DataFrame:
    """The features alone; whatever is no number is refused by its column."""
    if values.empty:
        raise BenchError(f"{path}: no rows of features")
    for name in values:
        if str(name).startswith("Unnamed: "):
            raise BenchError(f"{path}: column {name!r} is the number of a row, which may tell its label; remove it")
        if not pd.api.types.is_numeric_dtype(values[name]):
            value = next((value for value in values[name] if not _is_number(value)), values[name].iloc[0])
            raise BenchError(f"{path}: column {name!r} holds {value!r}, which is no number; mend or remove it")
    return values


def _refuse_parts(path: Path, about: pd.DataFrame) -> None:
    """Rows such as `blues.00000.0` and `blues.00000.1`, each taken for a song, would leak."""
    songs = about["track_id"].map(_song)
    parts = songs[songs.map(lambda song: song is not None and PART.match(song) is not None)].value_counts()
    if len(parts) and parts.iloc[0] > 1:
        raise BenchError(f"{path}: {parts.index[0]} has {parts.iloc[0]} rows; {REMEDY}")


def read_file(path: Path) -> pd.DataFrame:
    """Reads a CSV or Parquet file as it is."""
    if not path.is_file():
        raise BenchError(f"no feature table {path}")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, low_memory=False)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's faults are ValueErrors
        raise BenchError(f"{path}: not a readable table ({str(error).splitlines()[0]})") from None


def _without_ending(name: str) -> str:
    ending = next((ending for ending in EXTENSIONS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def _song(row: str) -> str | None:
    found = PART.match(row)
    return found[1] if found else None


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
