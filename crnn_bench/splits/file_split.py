"""A frozen split from a CSV file: published ones, or one that `crnn-bench split` wrote."""

from io import StringIO
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd

from crnn_bench.audio import EXTENSIONS
from crnn_bench.errors import BenchError
from crnn_bench.plugins import digest
from crnn_bench.splits import SplitStrategy, check_fold

PARTS = ("train", "validation", "test")
CHECKSUM = "# checksum: "


class FileSplit(SplitStrategy):
    """Reads `track_id,part` or `artist,album,part` under leading `#` lines, which are comments.

    Names match exactly, or else without regard to case, punctuation and file ending, since mirrors of a dataset differ
    in them. Tracks that the file does not name are used by no part. A `{fold}` in the path stands for folds 0 to k-1.
    """

    def __init__(self, path: str, k: int = 1, fold: int | None = None) -> None:
        check_fold("FileSplit", k, fold, least=1)
        self.path = path
        self.k = k
        self.fold = fold
        self.n_folds = k

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        path = Path(self.path.format(fold=self.fold or 0))
        frozen = read(path)
        by_track = "track_id" in frozen
        keys = frozen["track_id"] if by_track else frozen["artist"] + "/" + frozen["album"]
        ours = tracks["track_id"] if by_track else tracks["artist"] + "/" + tracks["album"]
        exact = dict(zip(keys, frozen["part"], strict=True))
        loose = dict(zip(keys.map(_loose), frozen["part"], strict=True))
        part = ours.map(exact).fillna(ours.map(_loose).map(loose))
        if part.isna().all():
            raise BenchError(
                f"{path}: none of its {len(frozen)} rows names a track of this dataset, e.g. {keys.iloc[0]!r}"
            )
        return part


def write(path: Path, parts: pd.DataFrame, comments: list[str]) -> None:
    """Writes `track_id, label, artist, album, part` rows under comments and a checksum of the rows."""
    rows = parts.to_csv(index=False, lineterminator="\n")
    header = "".join(f"# {comment}\n" for comment in comments) + f"{CHECKSUM}{digest(rows)}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(header + rows, encoding="utf-8")
    temporary.replace(path)


def read(path: Path) -> pd.DataFrame:
    """Reads and checks a split file.

    Raises:
        BenchError: no such file, no CSV, rows changed after it was written, a wrong column or part, a name twice.
    """
    if not path.is_file():
        raise BenchError(f"no split file {path}; `crnn-bench split … --csv {path}` writes one")
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        comments = list(takewhile(lambda line: line.startswith("#"), lines))
        rows = "".join(lines[len(comments) :])
        table = pd.read_csv(StringIO(rows), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: not a readable CSV ({error})") from None
    stated = [line.removeprefix(CHECKSUM).strip() for line in comments if line.startswith(CHECKSUM)]
    if stated and stated[0] != digest(rows):
        raise BenchError(
            f"{path}: its rows were changed after it was written (checksum {stated[0]}, now {digest(rows)})"
        )
    columns = ["track_id"] if "track_id" in table else ["artist", "album"]
    missing = [name for name in (*columns, "part") if name not in table]
    if missing:
        raise BenchError(f"{path}: no column {missing[0]!r}; expected track_id,part or artist,album,part")
    wrong = table[~table["part"].isin(PARTS)]
    if len(wrong):
        raise BenchError(f"{path}: part {wrong['part'].iloc[0]!r} is none of {', '.join(PARTS)}")
    repeated = table[table.duplicated(columns)]
    if len(repeated):
        raise BenchError(f"{path}: {'/'.join(repeated[columns].iloc[0])} stands there twice")
    return table


def _loose(name: str) -> str:
    stem = name.casefold()
    for ending in EXTENSIONS:
        stem = stem.removesuffix(ending)
    return "".join(letter for letter in stem if letter.isalnum() or letter == "/")
