"""The Free Music Archive's subsets (Defferrard et al., ISMIR 2017): clips of 30 s with genres and an official split."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench.audio import UnusableAudioError
from crnn_bench.datasets import Dataset, fingerprint
from crnn_bench.errors import BenchError

SUBSETS = ("small", "medium", "large")  # each holds the ones before it
CLIP_SECONDS = 30.0
COLUMNS = {
    "label": ("track", "genre_top"), "title": ("track", "title"), "duration": ("track", "duration"),
    "official": ("set", "split"), "subset": ("set", "subset"),
    "artist": ("artist", "name"), "artist_id": ("artist", "id"),
    "album": ("album", "title"), "album_id": ("album", "id"),
}  # fmt: skip
PARTS = {"training": "train", "validation": "validation", "test": "test"}


class Fma(Dataset):
    """`root/fma_metadata/tracks.csv` and the clips of a subset, `root/fma_small/000/000002.mp3`.

    The label is the top genre; tracks without one are not listed. Clips that are not there, and those more than a
    second shorter than they should be (six of `small`), are left out by name.

    Args:
        root: the folder that holds both.
        subset: `small` (8 balanced genres), `medium` or `large` (16 unbalanced ones).
    """

    def __init__(self, root: str, subset: Literal["small", "medium", "large"] = "small") -> None:
        self.root = root
        self.subset = subset

    @property
    def name(self) -> str:
        return f"fma_{self.subset}"

    def tracks(self) -> pd.DataFrame:
        table = read_metadata(self._metadata, self.subset)
        audio = Path(self.root).expanduser() / self.name
        numbers = [f"{number:06d}" for number in table.index]
        paths = [audio / number[:3] / f"{number}.mp3" for number in numbers]
        if not any(path.is_file() for path in paths):
            raise BenchError(f"no audio in {audio}: expected e.g. 000/000002.mp3; unzip {self.name}.zip there")
        return table.drop(columns="duration").assign(
            track_id=[f"{number[:3]}/{number}.mp3" for number in numbers],
            path=[str(path.absolute()) for path in paths],
            fingerprint=[fingerprint(path) for path in paths],
        )

    def read(self, track: pd.Series, sample_rate: float) -> NDArray[np.float32]:
        """Returns a clip's mono samples of shape (n,); raises `UnusableAudioError` where it is truncated, too."""
        samples = super().read(track, sample_rate)
        seconds = len(samples) / sample_rate
        if seconds < CLIP_SECONDS - 1:
            whole = min(CLIP_SECONDS, _durations(self._metadata, self.subset)[int(Path(track["path"]).stem)])
            if seconds < whole - 1:
                raise UnusableAudioError(f"truncated: {seconds:.1f} s of {whole:g} s")
        return samples

    @property
    def _metadata(self) -> Path:
        return Path(self.root).expanduser() / "fma_metadata" / "tracks.csv"


def read_metadata(path: Path, subset: str) -> pd.DataFrame:
    """Reads what `tracks.csv` says of a subset's tracks that have a top genre.

    Args:
        path: of the CSV, with its three header lines.
        subset: `small`, `medium` or `large`.

    Returns:
        Indexed by the track's number: `label, artist, album, title, official, duration` (of the whole song, seconds).
        Artists and albums bear their numbers, since several share a name; they are empty where unknown.

    Raises:
        BenchError: no such file, or another one.
    """
    if not path.is_file():
        raise BenchError(f"no {path}; unzip fma_metadata.zip there")
    try:
        heading = pd.read_csv(path, header=None, nrows=2, dtype=str, keep_default_na=False)
        there = [tuple(pair) for _, pair in heading.items()]
        missing = [pair for pair in COLUMNS.values() if pair not in there]
        if missing:
            raise BenchError(f"{path}: no column {missing[0]}; expected FMA's tracks.csv with its three header lines")
        positions = [0, *(there.index(pair) for pair in COLUMNS.values())]
        raw = pd.read_csv(path, header=None, skiprows=3, usecols=positions, dtype=str, keep_default_na=False)
        table = raw[positions].set_axis(["track", *COLUMNS], axis=1).astype({"track": int, "duration": float})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise BenchError(f"{path}: not FMA's tracks.csv ({error})") from None
    table = table[table["subset"].isin(SUBSETS[: SUBSETS.index(subset) + 1]) & (table["label"] != "")]
    if table.empty:
        raise BenchError(f"{path}: no track of the subset {subset} has a genre")
    for name in ("artist", "album"):
        number = table[f"{name}_id"]
        table[name] = (table[name] + " (" + number + ")").where(~number.isin(["", "-1"]), "")
    table["official"] = table["official"].map(PARTS).fillna("")
    return table.set_index("track")[["label", "artist", "album", "title", "official", "duration"]]


@lru_cache(maxsize=1)  # a process that extracts clips asks again and again
def _durations(path: Path, subset: str) -> pd.Series:
    return read_metadata(path, subset)["duration"]
