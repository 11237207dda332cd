"""A frozen split from a CSV file: published ones, or one that `crnn-bench split` wrote."""

from collections import Counter
from io import StringIO
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd

from crnn_bench.audio import EXTENSIONS
from crnn_bench.errors import BenchError
from crnn_bench.plugins import digest
from crnn_bench.records import PARTS
from crnn_bench.splits import SplitStrategy, check_fold
from crnn_bench.whole import replacing

CHECKSUM = "# checksum: "
KEPT = ("track_id", "album", "artist")
TRACKS, ALBUMS = ("track_id", "track_id"), ("album", "album")
GROUPS = "# kept together: "


class FileSplit(SplitStrategy):
    """Reads `track_id,part` or `artist,album,part` under leading `#` lines, which are comments.

    Names match exactly, or else without regard to case, punctuation and file ending, since mirrors of a dataset differ
    in them. Tracks that the file does not name are used by no part.

    Args:
        path: of the CSV; a `{fold}` in it stands for folds 0 to k-1.
        k: number of folds.
        fold: which of them; all without it.
        partial: goes on where rows of the file name no track of the dataset; without it they are refused.
    """

    def __init__(self, path: str, k: int = 1, fold: int | None = None, partial: bool = False) -> None:
        check_fold("FileSplit", k, fold, least=1)
        if (k > 1) != ("{fold}" in path):
            raise BenchError(f"FileSplit: k={k} and the path {path!r} do not fit; k above 1 needs {{fold}} in the path")
        self.path = path
        self.k = k
        self.fold = fold
        self.partial = partial
        self.n_folds = k

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        path = Path(self.path.replace("{fold}", str(self.fold or 0)))
        frozen = read(path)
        self.group, self.validation_group = frozen.attrs["groups"]
        by_track = "track_id" in frozen
        keys = frozen["track_id"] if by_track else frozen["artist"] + "/" + frozen["album"]
        ours = tracks["track_id"] if by_track else tracks["artist"] + "/" + tracks["album"]
        row_of = _matched(keys, ours)
        lost = keys[~keys.isin(set(row_of))]
        if len(lost) == len(keys) or (len(lost) and not self.partial):
            raise BenchError(
                f"{path}: {len(lost)} of its {len(keys)} rows name no usable track of this dataset, e.g. "
                f"{lost.iloc[0]!r}" + ("; set partial: true to go on without them" if len(lost) < len(keys) else "")
            )
        return row_of.map(dict(zip(keys, frozen["part"], strict=True)))


def write(path: Path, parts: pd.DataFrame, comments: list[str], groups: tuple[str, str] = TRACKS) -> None:
    """Writes `track_id, label, artist, album, part` rows under comments, what is kept together, and a checksum.

    Args:
        path: of the CSV.
        parts: the rows.
        comments: lines for the reader.
        groups: what lies on one side between test and the rest, and between validation and training.
    """
    rows = parts.to_csv(index=False, lineterminator="\n")
    header = "".join(f"# {comment}\n" for comment in comments)
    with replacing(path) as part:
        part.write_text(f"{header}{GROUPS}{','.join(groups)}\n{CHECKSUM}{digest(rows)}\n{rows}", encoding="utf-8")


def read(path: Path) -> pd.DataFrame:
    """Reads and checks a split file; `attrs["groups"]` says what it keeps together.

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
    checksum = _stated(comments, CHECKSUM)
    if checksum and checksum != digest(rows):
        raise BenchError(
            f"{path}: its rows were changed after it was written (checksum {checksum}, now {digest(rows)})"
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
        hint = "" if len(columns) == 1 else "; a split of songs needs a column track_id"
        raise BenchError(f"{path}: {'/'.join(repeated[columns].iloc[0])} stands there twice{hint}")
    stated = _stated(comments, GROUPS)
    groups = tuple(stated.split(",")) if stated else ALBUMS if "album" in columns else TRACKS
    if len(groups) != 2 or not set(groups) <= set(KEPT):
        raise BenchError(f"{path}: {GROUPS}{stated} is not track_id, album or artist, twice")
    table.attrs["groups"] = groups
    return table


def _stated(comments: list[str], what: str) -> str:
    return next((line.removeprefix(what).strip() for line in comments if line.startswith(what)), "")


def _matched(keys: pd.Series, ours: pd.Series) -> pd.Series:
    """For each of our names the file's: the same, or else the one free name that is alike; missing where none is."""
    known, present = set(keys), set(ours)
    free = [key for key in keys if key not in present]
    times = Counter(map(_loose, free))
    alike = {_loose(key): key for key in free if times[_loose(key)] == 1}
    return pd.Series([name if name in known else alike.get(_loose(name)) for name in ours], ours.index, dtype=object)


def _loose(name: str) -> str:
    stem = name.casefold()
    for ending in EXTENSIONS:
        stem = stem.removesuffix(ending)
    return "".join(letter for letter in stem if letter.isalnum() or letter == "/")
