"""The two tables of features that genre classification is known by, a song at a time."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import kurtosis, skew

from crnn_bench.datasets.toy import Toy
from crnn_bench.features import Feature
from crnn_bench.features.fma_table import FmaTable
from crnn_bench.features.gtzan_table import GtzanTable
from crnn_bench.song import Song
from tests.bench.measuring import Machine, Row, in_turns, timed

N_CLIPS = 4
RATE = 22050


def rows(console: Console, _: Machine) -> Iterator[Row]:
    """Both tables."""
    console.print(f"tables: {N_CLIPS} clips of 30 s, one process; plain way: each librosa feature from the samples")
    for what, plainly, feature, wanted in (
        ("FMA table", plain_fma, FmaTable(), 2.0),
        ("GTZAN table", plain_gtzan, GtzanTable(), 4.0),
    ):
        plain, ours = _per_song(plainly, feature)
        yield Row(what, "songs/s", plain, ours, wanted)


def clips() -> list[NDArray[np.float32]]:
    """Toy music of 30 s at 22050 Hz, one clip an artist."""
    toy = Toy(seconds=30.0)
    tracks = toy.tracks().drop_duplicates("artist")[:N_CLIPS]
    return [toy.read(track, RATE) for _, track in tracks.iterrows()]


def plain_fma(y: NDArray[np.float32]) -> None:
    """The Free Music Archive's 518 numbers, each feature called from the samples."""
    from librosa import feature

    sr, octaves = RATE, {"y": y, "sr": RATE, "bins_per_octave": 12, "n_chroma": 12, "n_octaves": 7}
    for values in (
        feature.chroma_cens(**octaves),
        feature.chroma_cqt(**octaves),
        feature.chroma_stft(y=y, sr=sr, n_chroma=12),
        feature.mfcc(y=y, sr=sr, n_mfcc=20),
        feature.rms(y=y),
        feature.spectral_bandwidth(y=y, sr=sr),
        feature.spectral_centroid(y=y, sr=sr),
        feature.spectral_contrast(y=y, sr=sr, n_bands=6),
        feature.spectral_rolloff(y=y, sr=sr),
        feature.tonnetz(chroma=feature.chroma_cens(**octaves)),
        feature.zero_crossing_rate(y, frame_length=2048, hop_length=512),
    ):
        for statistic in (kurtosis, np.max, np.mean, np.median, np.min, skew, np.std):
            statistic(values, axis=1)


def plain_gtzan(y: NDArray[np.float32]) -> None:
    """The 57 numbers of the GTZAN table, each feature called from the samples."""
    import librosa
    from librosa import feature

    sr = RATE
    librosa.beat.beat_track(y=y, sr=sr)
    for values in (
        feature.chroma_stft(y=y, sr=sr),
        feature.rms(y=y),
        feature.spectral_centroid(y=y, sr=sr),
        feature.spectral_bandwidth(y=y, sr=sr),
        feature.spectral_rolloff(y=y, sr=sr),
        feature.zero_crossing_rate(y),
        *librosa.effects.hpss(y),
        *feature.mfcc(y=y, sr=sr, n_mfcc=20),
    ):
        np.mean(values), np.var(values)


def _per_song(plainly: Callable[[NDArray[np.float32]], None], feature: Feature) -> list[float]:
    """Songs a second of the plain script and of ours, one process each; both have compiled before."""
    songs = clips()
    plainly(songs[0])
    feature.compute(Song(songs[0], RATE))
    return in_turns(
        lambda: timed(lambda: [plainly(y) for y in songs], len(songs)),
        lambda: timed(lambda: [feature.compute(Song(y, RATE)) for y in songs], len(songs)),
    )
