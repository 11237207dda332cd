"""Audio files to stored log-mels: a whole store on all cores, and one song on one thread."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr
from numpy.typing import NDArray
from rich.console import Console
from scipy.fft import rfft

from crnn_bench import catalogue, feature_store
from crnn_bench.datasets import Dataset
from crnn_bench.datasets.folder import Folder
from crnn_bench.datasets.toy import Toy
from crnn_bench.engines.processes import Processes
from crnn_bench.features.log_mel import BLOCK_FRAMES, LogMel, hann
from crnn_bench.song import Song
from tests.bench.measuring import Machine, Row, in_turns, timed

REAL_MUSIC = Path(__file__).parents[3] / "shared" / "data" / "game-music"
MOST_TRACKS = 104  # of a store
RATE, N_FFT, HOP = 16000, 2048, 512
WINDOW = hann(N_FFT)
SONG_SECONDS = 120


def alone(path: str) -> None:
    """Decode, downmix, resample and STFT by the fastest plain means: what no extraction can do without."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples[:, 0]
    for channel in range(1, samples.shape[1]):
        mono = mono + samples[:, channel]
    mono = mono / np.float32(samples.shape[1]) if samples.shape[1] > 1 else mono
    wanted = soxr.resample(mono, rate, RATE, "HQ") if rate != RATE else mono
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wanted, N_FFT // 2), N_FFT)[::HOP]
    for first in range(0, len(frames), BLOCK_FRAMES):  # a block stays in the processor's cache
        rfft(frames[first : first + BLOCK_FRAMES] * WINDOW, axis=1)


def ours(dataset: Dataset, track: pd.Series, feature: LogMel) -> NDArray[np.float16]:
    """The same, with mels and decibels, as the store does it."""
    return feature.compute(Song(dataset.read(track, RATE), RATE)).astype(np.float16)


def rows(console: Console, _: Machine) -> Iterator[Row]:
    """The store, and single songs of both kinds."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = _songs(Path(folder) / "music")
        tracks = catalogue.listing(dataset)[:MOST_TRACKS]
        cores = len(os.sched_getaffinity(0))
        console.print(f"extraction: {len(tracks)} songs; plain way: librosa in one process; ours: {cores} processes,")
        console.print(f"  their start included; bound: {cores} × decode, downmix, resample and STFT alone")
        plain, store, bound = _store(dataset, tracks, Path(folder) / "features")
        yield Row("extraction, store", "tracks/s", plain, store, 1.7, cores * bound)
        stereo = _stereo(Path(folder) / "stereo")
        console.print("  one song, one thread; plain way and bound: decode, downmix, resample and STFT alone")
        for what, dataset_, some in (
            ("16 kHz", dataset, tracks[:6]),
            ("44.1 kHz stereo", stereo, catalogue.listing(stereo)),
        ):
            yield _song(f"extraction, {what}", dataset_, some)


def _store(dataset: Dataset, tracks: pd.DataFrame, root: Path) -> list[float]:
    """Tracks a second: librosa's, the store's, and those of `alone`."""
    import librosa

    def plainly() -> None:
        for path in tracks["path"]:
            samples, _ = librosa.load(path, sr=RATE)
            librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=N_FFT, hop_length=HOP))

    def stored() -> None:
        with Processes() as engine:
            list(feature_store.extract(dataset, tracks, [LogMel()], root, engine))
        for store in root.glob("*/"):  # and not the note that librosa is compiled, which lasts
            shutil.rmtree(store)

    librosa.power_to_db(librosa.feature.melspectrogram(y=np.ones(4096, np.float32), sr=RATE))  # compiles
    n = len(tracks)
    stored()
    return in_turns(
        lambda: timed(plainly, n), lambda: timed(stored, n), lambda: timed(lambda: [*map(alone, tracks["path"])], n)
    )


def _song(what: str, dataset: Dataset, tracks: pd.DataFrame) -> Row:
    feature = LogMel()
    several = [track for _, track in tracks.iterrows()]
    alone(several[0]["path"])
    ours(dataset, several[0], feature)
    n = len(several)
    plain, fast = in_turns(
        lambda: timed(lambda: [alone(track["path"]) for track in several], n),
        lambda: timed(lambda: [ours(dataset, track, feature) for track in several], n),
        rounds=7,
    )
    return Row(what, "songs/s", plain, fast, round(1 / 1.3, 2), plain)


def _songs(folder: Path) -> Dataset:
    """Real music where there is some, toy music written as FLAC otherwise."""
    if REAL_MUSIC.is_dir():
        return Folder(str(REAL_MUSIC))
    return _written(folder, "flac", 1, RATE, 64)


def _stereo(folder: Path) -> Dataset:
    return _written(folder, "mp3", 2, 44100, 2)


def _written(folder: Path, kind: str, channels: int, rate: int, number: int) -> Dataset:
    """Toy music, as files."""
    toy = Toy(n_albums=4, n_songs=4, seconds=SONG_SECONDS)
    for _, track in toy.tracks()[:: max(1, 64 // number)].iterrows():
        path = folder / f"{track['track_id']}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = toy.read(track, rate)
        soundfile.write(path, np.stack([np.roll(samples, 20 * channel) for channel in range(channels)], axis=1), rate)
    return Folder(str(folder))
