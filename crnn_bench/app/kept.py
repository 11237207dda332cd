"""What is known of a folder's files, kept in the cache between one look at the folder and the next."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import songs
from crnn_bench.app import copies
from crnn_bench.app.tags import Tags
from crnn_bench.errors import BenchError
from crnn_bench.songs import Songs
from crnn_bench.whole import replacing

NOTHING = np.empty(0, np.float32)


class File(NamedTuple):
    """An audio file of the library: its path below the folder, its path, and by what a change of it shows."""

    track_id: str
    path: str
    size: int
    mtime_ns: int


class Heard(NamedTuple):
    """What a model makes of a file, or why it cannot; a fault that lies in its content is lasting."""

    file: File
    said: Tags | None = None
    vector: NDArray[np.float32] = NOTHING
    probabilities: NDArray[np.float32] = NOTHING
    fault: str = ""
    lasting: bool = True


class Kept:
    """What is known of a folder's files, in the cache and since.

    Attributes:
        songs: those that were heard; `None` where there are none.
        bad: the others, track → size, time, and why; time −1 where it is worth another try.
        changed: whether that is not yet saved.
    """

    def __init__(self, place: Path, classes: tuple[str, ...]) -> None:
        self.place = place
        self.classes = classes
        self.songs: Songs | None = None
        self.bad = faults(place)
        self.changed = False
        self._waiting: list[Heard] = []

    def keep(self, files: Sequence[File]) -> list[File]:
        """Keeps what is there as it was, with its path of today, and returns the files that are new."""
        by_name = {file.track_id: file for file in files}
        states = {file.track_id: (file.size, file.mtime_ns) for file in files}
        n_bad = len(self.bad)
        self.bad = {name: one for name, one in self.bad.items() if states.get(name) == one[:2]}
        try:
            known = songs.load(self.place / "songs.parquet")
        except BenchError:  # none yet, or a damaged one
            known = None
        if known is not None:
            columns = (known.table[name] for name in ("track_id", "size", "mtime_ns"))
            same = np.array([states.get(name) == (size, time) for name, size, time in zip(*columns, strict=True)], bool)
            for row in known.table[~same].itertuples():
                copies.place(row.path, row.size, row.mtime_ns).unlink(missing_ok=True)
            self.changed = not same.all()
            self.songs = known.where(same) if same.any() else None
        self.changed |= len(self.bad) != n_bad
        there = set(self.bad)
        if self.songs is not None:
            names = self.songs.table["track_id"]
            there |= set(names)
            self.songs.table["path"] = [by_name[name].path for name in names]
        return [file for file in files if file.track_id not in there]

    def add(self, heard: Heard) -> None:
        """Takes what was heard of a new file."""
        self._waiting.append(heard)
        self.changed = True

    def save(self) -> None:
        """Writes all that is known; where no song is left, only what is bad."""
        good = [heard for heard in self._waiting if not heard.fault]
        for heard in self._waiting:
            if heard.fault:
                time = heard.file.mtime_ns if heard.lasting else -1
                self.bad[heard.file.track_id] = heard.file.size, time, heard.fault
        if good:
            new = placed(good, self.classes)
            both = songs.joined([self.songs, new]) if self.songs is not None else new
            self.songs = both.where(np.argsort(both.table["track_id"].to_numpy(str), kind="stable"))
        if self.songs is not None:
            self.songs.save(self.place / "songs.parquet")
        else:
            (self.place / "songs.parquet").unlink(missing_ok=True)
        with replacing(self.place / "faults.json") as part:
            part.write_text(json.dumps(self.bad))
        self._waiting, self.changed = [], False


def faults(place: Path) -> dict[str, tuple[int, int, str]]:
    """Files that could not be heard: track → size, time, and why; of a damaged file none, and they are tried again."""
    try:
        content = json.loads((place / "faults.json").read_text())
        return {str(name): (int(size), int(time), str(fault)) for name, (size, time, fault) in content.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def placed(found: Sequence[Heard], classes: tuple[str, ...]) -> Songs:
    """Files that were heard, as songs."""
    rows = [{**one.file._asdict(), **(one.said._asdict() if one.said else {})} for one in found]
    vectors, probabilities = np.stack([one.vector for one in found]), np.stack([one.probabilities for one in found])
    return Songs(pd.DataFrame(rows), vectors, probabilities, classes)
