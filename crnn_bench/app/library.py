"""A folder of music as a model places it: each song is heard once, kept in the cache, and heard again when it changes.

The index of a folder belongs to one model, by its digest. Only what is new or has another size or time is heard; what
is gone leaves. It is saved every so often, whole or not at all, so a run that is stopped goes on where it was. Of two
that index one folder at once the work of the last stays; nothing breaks, and the next run hears what is missing.
"""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import bundles, feature_store, listening, songs
from crnn_bench.app import copies, tags
from crnn_bench.app.tags import Tags
from crnn_bench.audio import EXTENSIONS, UnusableAudioError
from crnn_bench.bundles import Bundle
from crnn_bench.datasets.folder import audio_files
from crnn_bench.errors import BenchError
from crnn_bench.plugins import digest
from crnn_bench.songs import Songs
from crnn_bench.whole import replacing

VERSION = 1  # raise it whenever the same file gives another row
SAVED_SECONDS = 30.0  # of work between two savings; more where saving itself takes long
SAVING_SHARE = 0.05  # of the time
FEW = 16  # songs: starting processes, each with a model of its own, takes as long as hearing them here
NOTHING = np.empty(0, np.float32)
Tell = Callable[[float, str], None]


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


def index(bundle: Bundle, folder: Path, tell: Tell) -> Songs:
    """Hears what is new in a folder, and gives all its songs, sorted by `track_id`, their path below the folder.

    Files that cannot be heard are told, left out, and to be found in `faults`. The label is the folder's artist.

    Args:
        bundle: the model.
        folder: of audio files, at any depth; links are followed, names that begin with a dot left out.
        tell: hears what share of the new files is done, and a line about it.

    Raises:
        BenchError: there is no such folder, or no song in it that can be heard.
        OSError: the cache cannot be written.
    """
    files = sorted(_files(folder))
    kept = _Index(_place(bundle, folder), tuple(bundle.about["classes"]))
    new = kept.keep(files)
    if new:
        _hear_all(bundle, new, kept, tell)
    if kept.changed:
        kept.save()
    for name, (*_, fault) in kept.bad.items():
        tell(1.0, f"left out: {name}: {fault}")
    if kept.songs is None:
        first = next((f"{name}: {fault}" for name, (*_, fault) in kept.bad.items()), "no file is there")
        raise BenchError(f"{folder} holds no song that can be heard ({first}); it takes {', '.join(EXTENSIONS)}")
    return kept.songs


def faults(bundle: Bundle, folder: Path) -> dict[str, str]:
    """Files that could not be heard when the folder was indexed last: track → why."""
    return {name: fault for name, (*_, fault) in _read_bad(_place(bundle, folder)).items()}


def hear(bundle: Bundle, paths: Sequence[Path]) -> Songs:
    """Single files, in their order, as `index` has them, but that their `track_id` is their path.

    Raises:
        BenchError: a file cannot be heard; names it.
    """
    found = [_hear(bundle, File(str(path), str(path.absolute()), *_state(path))) for path in paths]
    for one in found:
        if one.fault:
            raise BenchError(f"{one.file.track_id}: {one.fault}")
    return _songs_of(found, tuple(bundle.about["classes"]))


def _place(bundle: Bundle, folder: Path) -> Path:
    key = digest([VERSION, bundle.digest, bundle.feature.key, os.path.realpath(folder.expanduser())], 32)
    return feature_store.default_root().parent / "libraries" / key


def _files(folder: Path) -> Iterator[File]:
    root = folder.expanduser().absolute()
    if not root.is_dir():
        raise BenchError(f"no folder {folder}; the library must be a folder of audio files")
    found = [path.relative_to(root) for path in audio_files(root)]
    for path in found:
        if not any(part.startswith(".") for part in path.parts):
            name = os.fsencode(path.as_posix()).decode(errors="backslashreplace")
            yield File(name, str(root / path), *_state(root / path))


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0  # a broken link; opening it will say what is wrong
    return status.st_size, status.st_mtime_ns


class _Index:
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
        self.bad = _read_bad(place)
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
            new = _songs_of(good, self.classes)
            both = songs.joined([self.songs, new]) if self.songs is not None else new
            self.songs = both.where(np.argsort(both.table["track_id"].to_numpy(str), kind="stable"))
        if self.songs is not None:
            self.songs.save(self.place / "songs.parquet")
        else:
            (self.place / "songs.parquet").unlink(missing_ok=True)
        with replacing(self.place / "faults.json") as part:
            part.write_text(json.dumps(self.bad))
        self._waiting, self.changed = [], False


def _read_bad(place: Path) -> dict[str, tuple[int, int, str]]:
    try:
        content = json.loads((place / "faults.json").read_text())
        return {str(name): (int(size), int(time), str(fault)) for name, (size, time, fault) in content.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def _songs_of(found: Sequence[Heard], classes: tuple[str, ...]) -> Songs:
    rows = [{**one.file._asdict(), **(one.said._asdict() if one.said else {})} for one in found]
    vectors, probabilities = np.stack([one.vector for one in found]), np.stack([one.probabilities for one in found])
    return Songs(pd.DataFrame(rows), vectors, probabilities, classes)


def _hear_all(bundle: Bundle, files: Sequence[File], kept: _Index, tell: Tell) -> None:
    """Hears files in several processes, and saves what was heard every so often, and however it ends."""
    started = saved = time.monotonic()
    wait = SAVED_SECONDS
    try:
        for number, heard in enumerate(_in_processes(bundle, files), 1):
            kept.add(heard)
            now = time.monotonic()
            rate = number / (now - started)
            tell(number / len(files), f"{number} of {len(files)} songs heard, {rate:.1f} songs/s")
            if now - saved > wait:
                kept.save()
                saved = time.monotonic()
                wait = max(SAVED_SECONDS, (saved - now) / SAVING_SHARE)
    finally:
        kept.save()


def _in_processes(bundle: Bundle, files: Sequence[File]) -> Iterator[Heard]:
    """What each file sounds like, in any order; few are heard in this process."""
    from joblib import Parallel, cpu_count, delayed

    if len(files) <= FEW or cpu_count() == 1 or multiprocessing.current_process().daemon:
        yield from (_hear(bundle, file) for file in files)
        return
    jobs = (delayed(_hear_elsewhere)(bundle.path, bundle.digest, file) for file in files)
    yield from Parallel(n_jobs=min(cpu_count(), len(files)), return_as="generator_unordered")(jobs)


def _hear_elsewhere(path: Path, digest: str, file: File) -> Heard:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's, which then ends this one
    torch.set_num_threads(1)  # the processes share the cores
    return _hear(_bundle(path, digest), file)


@lru_cache(maxsize=1)
def _bundle(path: Path, digest: str) -> Bundle:
    """A model, loaded once in a process, and again where its file has changed."""
    return bundles.load(path)


def _hear(bundle: Bundle, file: File) -> Heard:
    path = Path(file.path)
    try:
        if "\n" in file.path or "\r" in file.path:
            raise UnusableAudioError("its name holds a line break, and no playlist could name it; rename it")
        timeline = listening.listen(bundle, path)
        copies.fingerprint(path)
        said = tags.of(path, file.track_id)
    except UnusableAudioError as error:
        return Heard(file, fault=str(error))
    except OSError as error:
        return Heard(file, fault=f"cannot be opened ({error.strerror or error})", lasting=False)
    vector = timeline.vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Heard(file, said, vector, timeline.compiled().astype(np.float32))
