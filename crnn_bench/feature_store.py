"""Tracks and features → memory-mapped arrays on disk, computed once.

`root/<feature key>/<shard>.npy` holds the frames of some tracks one after another, time-major, in the feature's
`dtype`; the `<shard>.parquet` beside it says which. A shard is written under a temporary name and renamed, its index
last: what has no index does not exist. Names are unique, so any number of writers may share a store, and a killed
extraction goes on where it was; what its processes were writing goes with a later one.
"""

import errno
import hashlib
import math
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import levels
from crnn_bench.audio import UnusableAudioError
from crnn_bench.datasets import Dataset
from crnn_bench.engines import Engine, WorkerDied, carry_out
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.plugins import digest
from crnn_bench.song import Song
from crnn_bench.whole import machine, replacing, sweep

MOST_TRACKS_IN_SHARD = 64
MOST_SHARDS = 128  # of one extraction; each that is read holds a file open
Frames = NDArray[np.floating[Any]]
Faults = dict[str, str]  # track → why it could not be opened this time
SOUND = ("clipped", "silent")  # shares, by `levels`; NaN in stores that were written before they were measured
INDEX_COLUMNS = ("track_id", "fingerprint", "seconds", "content", "reason", "shard", "first_frame", "n_frames", *SOUND)


def default_root() -> Path:
    """`$CRNN_BENCH_CACHE`, or `~/.cache/crnn_bench`."""
    return Path(os.environ.get("CRNN_BENCH_CACHE", "~/.cache/crnn_bench")).expanduser().absolute() / "features"


@dataclass(frozen=True)
class FeatureStore:
    """What is stored of one feature.

    Attributes:
        root: of all features' stores.
        feature: which one.
    """

    root: Path
    feature: Feature

    @property
    def folder(self) -> Path:
        """Where its shards lie; another parameter or version gives another folder."""
        return self.root / self.feature.key

    def index(self) -> pd.DataFrame:
        """One row a stored or rejected track; shards that are not whole are passed over."""
        whole = [
            table for path in sorted(self.folder.glob("*.parquet")) if (table := self._whole_index(path)) is not None
        ]
        if not whole:
            return pd.DataFrame(columns=list(INDEX_COLUMNS))
        return pd.concat(whole, ignore_index=True).drop_duplicates(["track_id", "fingerprint"], ignore_index=True)

    def lookup(self, tracks: pd.DataFrame) -> pd.DataFrame:
        """The index rows of these tracks in their present form, in their order; absent ones are left out."""
        wanted = tracks[["track_id", "fingerprint"]].drop_duplicates()
        return wanted.merge(self.index(), on=["track_id", "fingerprint"], how="inner")

    def arrays(self, tracks: pd.DataFrame) -> list[Frames]:
        """Views of shape (frames, bins), one a track, in their order; their files stay open.

        Raises:
            BenchError: a track is not stored.
        """
        places = self._places(tracks)
        shards = {shard: _open(self.folder / f"{shard}.npy") for shard in {shard for shard, _, _ in places}}
        return [shards[shard][first : first + number] for shard, first, number in places]

    def copies(self, tracks: pd.DataFrame) -> list[Frames]:
        """The same in memory, and no file stays open: a song in many forms has more files than a process may open."""
        return [
            np.load(self.folder / f"{shard}.npy", mmap_mode="r")[first : first + number].copy()
            for shard, first, number in self._places(tracks)
        ]

    def files(self, tracks: pd.DataFrame) -> set[Path]:
        """Of the shards that hold what is stored of these tracks."""
        arrays = {self.folder / f"{shard}.npy" for shard in self.lookup(tracks)["shard"]}
        return arrays | {path.with_suffix(".parquet") for path in arrays}

    def _places(self, tracks: pd.DataFrame) -> list[tuple[str, int, int]]:
        """Where each track's frames are: the shard, the first and how many."""
        rows = self.lookup(tracks).set_index("track_id")
        missing = [track for track in tracks["track_id"] if track not in rows.index]
        if missing:
            raise BenchError(f"{missing[0]} is not in the feature store {self.folder}; run `crnn-bench prepare` first")
        ordered = rows.loc[tracks["track_id"].tolist()]
        return list(zip(ordered["shard"], ordered["first_frame"], ordered["n_frames"], strict=True))

    def write(self, rows: list[dict[str, Any]], frames: list[Frames]) -> None:
        """Stores a shard whole, or nothing of it."""
        shard = uuid.uuid4().hex
        stacked = np.concatenate(frames) if frames else np.empty((0, self.feature.n_bins))
        starts = np.cumsum([0, *(row["n_frames"] for row in rows)])[:-1]
        index = pd.DataFrame(rows).assign(shard=shard, first_frame=starts).reindex(columns=list(INDEX_COLUMNS))
        with replacing(self.folder / f"{shard}.parquet") as index_part:  # takes its place last
            with replacing(self.folder / f"{shard}.npy") as array_part, array_part.open("wb") as file:
                np.save(file, np.ascontiguousarray(stacked, dtype=self.feature.dtype))  # a slice lies in one piece
                _to_disk(file)
            with index_part.open("wb") as file:
                index.to_parquet(file, index=False)
                _to_disk(file)

    def _whole_index(self, path: Path) -> pd.DataFrame | None:
        """A shard's index, or nothing where it or its array is absent, empty or cut, as lost power leaves them."""
        try:
            index, shape = _read_index(path)
        except (ValueError, EOFError):
            return None
        except OSError as error:
            if error.errno not in (None, errno.ENOENT):  # a fault of the moment; damage has no number
                raise
            return None
        frames, bins = shape
        return index if frames == index["n_frames"].sum() and self.feature.n_bins in (0, bins) else None


def missing(root: Path, tracks: pd.DataFrame, features: Sequence[Feature]) -> dict[str, list[Feature]]:
    """Which features of which track have still to be computed: `{track_id: [feature, …]}`."""
    todo: dict[str, list[Feature]] = {}
    for feature in features:
        there = set(FeatureStore(root, feature).lookup(tracks)["track_id"])
        for track in dict.fromkeys(tracks["track_id"]):
            if track not in there:
                todo.setdefault(track, []).append(feature)
    return todo


class Chunk(NamedTuple):
    """Some tracks of a dataset, what is wanted of each, and the root of the store: one shard a feature."""

    dataset: Dataset
    tracks: list[pd.Series]
    wanted: list[list[Feature]]
    root: Path

    @property
    def singly(self) -> list["Chunk"]:
        """Each track by itself."""
        return [
            Chunk(self.dataset, [track], [features], self.root)
            for track, features in zip(self.tracks, self.wanted, strict=True)
        ]


def extract(
    dataset: Dataset, tracks: pd.DataFrame, features: Sequence[Feature], root: Path, engine: Engine
) -> Iterator[tuple[int, float, Faults]]:
    """Computes what is missing; each file is decoded once for all features.

    What is wrong with a file's content is stored as its reason; what hinders opening it (no permission, a lost disk) is
    only told, so that the next run tries again. So it is with a file over which the process dies that reads it.

    Args:
        dataset: reads the tracks.
        tracks: its listing.
        features: wanted; those of one sample rate share a decoding.
        root: of the store.
        engine: that is open, and carries it out.

    Yields:
        (tracks done, seconds of audio done, tracks that could not be opened) after each shard, in any order.

    Raises:
        BenchError: the store cannot be written (disk full, no permission); names the folder.
        Unforeseen: a dataset or feature of a user's own raised something else.
    """
    todo = missing(root, tracks, features)
    rows = [row for _, row in tracks.drop_duplicates("track_id").iterrows() if row["track_id"] in todo]
    if rows:
        sweep(root)
    size = max(1, math.ceil(len(rows) / MOST_SHARDS), min(MOST_TRACKS_IN_SHARD, len(rows) // (8 * engine.workers)))
    pieces = [rows[first : first + size] for first in range(0, len(rows), size)]
    chunks = [Chunk(dataset, piece, [todo[row["track_id"]] for row in piece], root) for piece in pieces]
    if engine.workers > 1 and len(chunks) > 1:
        _compile_librosa(root)
    while chunks:
        deadly = []
        for outcome in carry_out(engine, _extract_shard, chunks):
            if outcome.answer:
                yield outcome.answer
            elif not isinstance(outcome.fault, WorkerDied):
                raise outcome.fault or RuntimeError("a shard was neither written nor refused")
            elif len(outcome.task.tracks) > 1:
                deadly.append(outcome.task)
            else:
                yield 1, 0.0, {outcome.task.tracks[0]["track_id"]: f"cannot be read: {outcome.fault}"}
        chunks = [single for chunk in deadly for single in chunk.singly]


def _compile_librosa(root: Path) -> None:
    """Imports what librosa compiles at its import, before processes start; once a machine, as a note tells.

    Two that compile the same at once leave files behind that crash every later process (numba's issue 10128).
    """
    import librosa

    installed = [librosa.__file__, os.stat(librosa.__file__).st_mtime_ns, version("librosa"), version("numba")]
    note = root / f".compiled-{digest([machine(), *installed])}"
    if not note.exists():
        import librosa.beat
        import librosa.core.pitch

        root.mkdir(parents=True, exist_ok=True)
        note.touch()


def _extract_shard(chunk: Chunk, _: str) -> tuple[int, float, Faults]:
    """Reads some tracks and stores their features, one shard a feature."""
    dataset, tracks, wanted, root = chunk
    done: dict[str, tuple[Feature, list[dict[str, Any]], list[Frames]]] = {}
    seconds_done = 0.0
    faults: Faults = {}
    for track, features in zip(tracks, wanted, strict=True):
        for rate in sorted({feature.sample_rate for feature in features}):
            try:
                samples, finding = _examine(dataset, track, rate)
            except OSError as error:
                faults[track["track_id"]] = f"cannot be opened ({error.strerror or error})"
                continue
            seconds_done += finding["seconds"] if rate == features[0].sample_rate else 0.0
            song = None if samples is None else Song(samples, rate)  # shared by the features of its rate
            for feature in features:
                if feature.sample_rate != rate:
                    continue
                rows, frames = done.setdefault(feature.key, (feature, [], []))[1:]
                computed = [feature.compute(song).astype(feature.dtype)] if song else []
                rows.append({**finding, "n_frames": sum(len(array) for array in computed)})
                frames.extend(computed)
    for feature, rows, frames in done.values():
        try:
            FeatureStore(root, feature).write(rows, frames)
        except OSError as error:
            fault = error.strerror or error
            raise BenchError(f"cannot write features to {root} ({fault}); free space or set CRNN_BENCH_CACHE") from None
    return len(tracks), seconds_done, faults


def _examine(dataset: Dataset, track: pd.Series, rate: float) -> tuple[NDArray[np.float32] | None, dict[str, Any]]:
    """A track's samples, or none and the reason why it cannot be used."""
    finding: dict[str, Any] = {
        "track_id": track["track_id"],
        "fingerprint": track["fingerprint"],
        "seconds": 0.0,
        "content": "",
        "reason": "",
    }
    try:
        samples = dataset.read(track, rate)
    except UnusableAudioError as error:
        return None, {**finding, "reason": str(error)}
    content = hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=16).hexdigest()
    finding |= {"seconds": len(samples) / rate, "content": content}
    if dataset.features is None:
        finding |= {"clipped": levels.clipped(samples), "silent": levels.silent(samples, rate)}
    return samples, finding


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@lru_cache(maxsize=65536)  # a shard and its index never change once they are there
def _read_index(path: Path) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """An index and its array's shape; `ValueError` where the array is cut. Holds no file open: shards may be many."""
    with path.with_suffix(".npy").open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if file.tell() + math.prod(shape) * dtype.itemsize != os.fstat(file.fileno()).st_size:
            raise ValueError(f"{path}: its array is cut")
    return pd.read_parquet(path).reindex(columns=list(INDEX_COLUMNS)), shape


@lru_cache(maxsize=4096)
def _open(path: Path) -> Frames:
    array: Frames = np.load(path, mmap_mode="r")
    return array
