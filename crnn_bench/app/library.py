"""A folder of music as a model places it: each song is heard once, kept in the cache, and heard again when it changes.

The index of a folder belongs to one model, by its digest. Only what is new or has another size or time is heard; what
is gone leaves. It is saved every so often, whole or not at all, so a run that is stopped goes on where it was. Of two
that index one folder at once the work of the last stays; nothing breaks, and the next run hears what is missing.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from crnn_bench import bundles, feature_store, listening
from crnn_bench.app import copies, kept, tags
from crnn_bench.app.kept import File, Heard, Kept
from crnn_bench.audio import EXTENSIONS, UnusableAudioError
from crnn_bench.bundles import Bundle
from crnn_bench.datasets.folder import audio_files
from crnn_bench.errors import BenchError
from crnn_bench.plugins import digest
from crnn_bench.songs import Songs

VERSION = 1  # raise it whenever the same file gives another row
SAVED_SECONDS = 30.0  # of work between two savings; more where saving itself takes long
SAVING_SHARE = 0.05  # of the time
FEW = 16  # songs: starting processes, each with a model of its own, takes as long as hearing them here
Tell = Callable[[float, str], None]


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
    if not files:  # an empty place of a disk that is not connected, say: what was heard stays in the cache
        raise _no_song(folder, "no file is there")
    known = Kept(_place(bundle, folder), tuple(bundle.about["classes"]))
    new = known.keep(files)
    if new:
        _hear_all(bundle, new, known, tell)
    if known.changed:
        known.save()
    for name, (*_, fault) in known.bad.items():
        tell(1.0, f"left out: {name}: {fault}")
    if known.songs is None:
        first = next(f"{name}: {fault}" for name, (*_, fault) in known.bad.items())
        raise _no_song(folder, first)
    return known.songs


def _no_song(folder: Path, why: str) -> BenchError:
    return BenchError(f"{folder} holds no song that can be heard ({why}); it takes {', '.join(EXTENSIONS)}")


def faults(bundle: Bundle, folder: Path) -> dict[str, str]:
    """Files that could not be heard when the folder was indexed last: track → why."""
    return {name: fault for name, (*_, fault) in kept.faults(_place(bundle, folder)).items()}


def hear(bundle: Bundle, paths: Sequence[Path]) -> Songs:
    """Single files, in their order, as `index` has them, but that their `track_id` is their path.

    Raises:
        BenchError: a file cannot be heard; names it.
    """
    found = [_hear(bundle, File(str(path), str(path.absolute()), *_state(path))) for path in paths]
    for one in found:
        if one.fault:
            raise BenchError(f"{one.file.track_id}: {one.fault}")
    return kept.placed(found, tuple(bundle.about["classes"]))


def _place(bundle: Bundle, folder: Path) -> Path:
    real = listening.readable(Path(os.path.realpath(folder.expanduser())))
    key = digest([VERSION, bundle.digest, bundle.feature.key, real], 32)
    return feature_store.default_root().parent / "libraries" / key


def _files(folder: Path) -> Iterator[File]:
    root = folder.expanduser().absolute()
    if not root.is_dir():
        raise BenchError(f"no folder {folder}; the library must be a folder of audio files")
    if (name := listening.readable(root)) != str(root):
        raise BenchError(f"{name}: the name of this folder is no UTF-8; rename it, or name it by a link")
    found = [path.relative_to(root) for path in audio_files(root)]
    for path in found:
        if not any(part.startswith(".") for part in path.parts):
            yield File(listening.readable(path), str(root / path), *_state(root / path))


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0  # a broken link; opening it will say what is wrong
    return status.st_size, status.st_mtime_ns


def _hear_all(bundle: Bundle, files: Sequence[File], known: Kept, tell: Tell) -> None:
    """Hears files in several processes, and saves what was heard every so often, and however it ends."""
    started = saved = time.monotonic()
    wait = SAVED_SECONDS
    try:
        for number, heard in enumerate(_in_processes(bundle, files), 1):
            known.add(heard)
            now = time.monotonic()
            rate = number / (now - started)
            tell(number / len(files), f"{number} of {len(files)} songs heard, {rate:.1f} songs/s")
            if now - saved > wait:
                known.save()
                saved = time.monotonic()
                wait = max(SAVED_SECONDS, (saved - now) / SAVING_SHARE)
    finally:
        known.save()


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
        if path.exists() and not path.is_file():
            raise UnusableAudioError("is no file, but a folder, pipe or device")  # a pipe would be waited for
        timeline = listening.listen(bundle, path)
        copies.fingerprint(path)
        said = tags.of(path, file.track_id)
    except UnusableAudioError as error:
        return Heard(file, fault=str(error))
    except OSError as error:
        return Heard(file, fault=f"cannot be opened ({error.strerror or error})", lasting=False)
    vector = timeline.vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Heard(file, said, vector, timeline.compiled().astype(np.float32))
