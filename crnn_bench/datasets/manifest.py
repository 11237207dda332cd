"""A list of audio files in a CSV."""

import os
from pathlib import Path

import pandas as pd

from crnn_bench.datasets import Dataset, fingerprint
from crnn_bench.errors import BenchError

OPTIONAL = ("artist", "album", "title")


class Manifest(Dataset):
    """A CSV with the columns `path,label[,artist,album,title]`; paths are relative to `root`, or to the CSV's folder.

    The artist defaults to the label, the title to the file's name. Genre and speaker labels go the same road.
    """

    def __init__(self, csv: str, root: str | None = None) -> None:
        self.csv = csv
        self.root = root

    @property
    def name(self) -> str:
        return Path(self.csv).stem

    def tracks(self) -> pd.DataFrame:
        csv = Path(self.csv).expanduser()
        table = read_rows(csv, ("path", "label"), OPTIONAL)
        root = Path(self.root).expanduser() if self.root else csv.parent
        paths = [root / name for name in table["path"]]
        if not any(path.is_file() for path in paths):
            raise BenchError(f"{csv}: none of its {len(table)} files is in {root}, e.g. {paths[0]}")
        optional = {name: table.get(name, "") for name in OPTIONAL}
        track_ids = [Path(os.path.relpath(path, root)).as_posix() for path in paths]  # however it is written, one file
        rows = pd.DataFrame({"track_id": track_ids, "path": [str(path.absolute()) for path in paths], **optional})
        rows.insert(2, "label", table["label"])
        rows["artist"] = rows["artist"].where(rows["artist"] != "", rows["label"])
        rows["title"] = rows["title"].where(rows["title"] != "", [path.stem for path in paths])
        rows["fingerprint"] = [fingerprint(path) for path in paths]
        return rows


def read_rows(csv: Path, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> pd.DataFrame:
    """Reads a CSV of texts, spaces around them removed.

    Args:
        csv: the file.
        needed: columns that have to be there, with no cell empty.
        optional: columns that may be there, for the message.

    Raises:
        BenchError: no such file, no CSV, no rows, a column or cell missing.
    """
    if not csv.is_file():
        raise BenchError(f"no manifest {csv}")
    try:
        table = pd.read_csv(csv, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BenchError(f"{csv}: not a readable CSV ({error})") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise BenchError(f"{csv}: its rows have more cells than its heading; quote a name that holds a comma")
    for column in needed:
        if column not in table:
            more = f"[,{','.join(optional)}]" if optional else ""
            raise BenchError(f"{csv}: no column {column!r}; expected {','.join(needed)}{more}")
        empty = table.index[table[column].str.strip() == ""]
        if len(empty):
            raise BenchError(f"{csv}, line {empty[0] + 2}: empty {column}")
    if table.empty:
        raise BenchError(f"{csv}: no rows")
    return table.apply(lambda column: column.str.strip())
