"""Which songs are the same recording: exact copies, re-encoded, trimmed or louder ones, by landmarks of their peaks.

Only the first two minutes are looked at. A file's peaks are some kilobytes, kept in the cache from the first time on,
whatever the model, and read only for the few songs in question.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crnn_bench import audio, feature_store, fingerprints
from crnn_bench.audio import UnusableAudioError
from crnn_bench.features.log_mel import LogMel
from crnn_bench.fingerprints import Peaks
from crnn_bench.plugins import digest
from crnn_bench.song import Song
from crnn_bench.whole import replacing

SECONDS = 120.0  # of a song


def pairs(paths: Sequence[str]) -> list[tuple[int, int]]:
    """Positions of songs that are the same recording; a file that cannot be read is like no other.

    Args:
        paths: of audio files; empty where there is none.
    """
    found = [(place, *one) for place, path in enumerate(paths) if (one := _of(path)) is not None]
    places, peaks, lengths = [one[0] for one in found], [one[1] for one in found], [one[2] for one in found]
    matches = fingerprints.compare(peaks, lengths).matches if found else ()
    return sorted((places[match.first], places[match.second]) for match in matches)


def _of(path: str) -> tuple[Peaks, int] | None:
    try:
        return fingerprint(Path(path)) if path else None
    except (UnusableAudioError, OSError):
        return None


def fingerprint(path: Path) -> tuple[Peaks, int]:
    """A file's peaks, and its number of frames; from the cache, where it is there.

    Raises:
        UnusableAudioError: it is no sound.
        OSError: it cannot be opened.
    """
    status = path.stat()
    kept = place(str(path), status.st_size, status.st_mtime_ns)
    try:
        frames, bins = np.load(kept)
    except (OSError, ValueError, EOFError):
        return _computed(path, kept)
    return (frames[1:], bins[1:]), int(frames[0])


def place(path: str, size: int, mtime_ns: int) -> Path:
    """Where the peaks of a file of this size and time are kept."""
    key = digest([os.path.abspath(path), int(size), int(mtime_ns), fingerprints.VERSION, LogMel().key, SECONDS], 32)
    return feature_store.default_root().parent / "fingerprints" / key[:2] / f"{key}.npy"


def _computed(path: Path, kept: Path) -> tuple[Peaks, int]:
    feature = LogMel()
    samples = np.concatenate(list(_beginning(path, feature.sample_rate)))
    frames = feature.compute(Song(samples, feature.sample_rate))
    time, bin_ = fingerprints.peaks(frames)
    with replacing(kept) as part, part.open("wb") as file:
        np.save(file, np.array([[len(frames), *time], [0, *bin_]], np.int64).astype(np.int32))
    return (time, bin_), len(frames)


def _beginning(path: Path, rate: float) -> Iterator[NDArray[np.float32]]:
    """Its first `SECONDS`, in blocks; no more is decoded than that."""
    left = int(SECONDS * rate)
    for block in audio.stream(path, rate):
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return
