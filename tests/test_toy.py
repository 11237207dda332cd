"""The toy music: deterministic, musical, and a measuring stick for the producer effect."""

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, cross_val_predict

from crnn_bench import composer
from crnn_bench.baselines.mfcc_svm import MfccSVM
from crnn_bench.datasets.toy import Toy
from crnn_bench.errors import BenchError
from crnn_bench.seeds import generator
from crnn_bench.song import Song

RATE = 16000


def song(toy: Toy, number: int = 0) -> NDArray[np.float32]:
    return toy.read(toy.tracks().iloc[number], RATE)


def checksum(samples: NDArray[np.float32]) -> str:
    return hashlib.sha256(samples.tobytes()).hexdigest()


def test_every_song_is_the_same_in_any_order_and_process() -> None:
    toy = Toy(seconds=3)
    last, first = song(toy, 47), song(toy, 0)
    code = "from tests.test_toy import Toy, checksum, song; print(checksum(song(Toy(seconds=3))))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert checksum(first) == elsewhere
    assert not np.array_equal(first, last)
    assert np.array_equal(song(Toy(seconds=3), 47), last)


def test_songs_are_clean_and_below_full_scale() -> None:
    for effect in (0.0, 1.0, 4.0):
        toy = Toy(seconds=5, album_effect=effect)
        for number in (0, 13, 47):
            samples = song(toy, number)
            assert samples.shape == (5 * RATE,)
            assert samples.dtype == np.float32
            assert np.isfinite(samples).all()
            assert 0.01 < np.abs(samples).max() < 1


def test_without_an_album_effect_the_production_changes_nothing() -> None:
    toy = Toy(seconds=3, album_effect=0)
    style = composer.draw_style(generator(0, "style/artist-1"))
    dry = composer.compose(style, generator(0, "song/artist-1/album-1/song-1"), 3, 0.0, RATE)
    assert np.abs(song(toy) - dry).max() < 1e-6


def test_the_notes_stay_when_the_production_changes() -> None:
    """The strongest pitch classes, whose tuning moves by less than half a semitone, are the same."""
    plain, produced = (_chroma(song(Toy(seconds=10, album_effect=effect))) for effect in (0.0, 0.5))
    assert np.corrcoef(plain, produced)[0, 1] > 0.8
    other = _chroma(song(Toy(seconds=10, album_effect=0.0), 1))
    assert np.corrcoef(plain, other)[0, 1] < 0.8


def test_notes_are_in_the_scale() -> None:
    """Chords and bass alone: nearly all energy lies on the seven notes of the artist's scale, wherever its root is."""
    style = composer.draw_style(generator(0, "style/artist-2"))
    quiet = composer.Style(**{**vars(style), "kick": "." * 16, "snare": "." * 16, "hat": "." * 16})
    chroma = _chroma(composer.compose(quiet, generator(0, "any"), 20, 0.0, RATE))
    shares = [chroma[[(root + degree) % 12 for degree in style.scale]].sum() / chroma.sum() for root in range(12)]
    assert max(shares) > 0.85


def test_productions_are_drawn_without_regard_to_the_artist() -> None:
    """An artist's albums differ from each other as much as from another artist's."""
    strong = [
        composer.draw_production(generator(0, f"production/artist-{a}/album-{b}"), 1.0)
        for a in range(30)
        for b in (1, 2)
    ]
    gains = np.array([production.gains_db for production in strong])
    own = np.linalg.norm(gains[0::2] - gains[1::2], axis=1).mean()
    others = np.linalg.norm(gains[0::2] - np.roll(gains[1::2], 1, axis=0), axis=1).mean()
    assert own == pytest.approx(others, rel=0.25)


@pytest.mark.parametrize("change", [{"n_songs": 4}, {"seconds": 4.0}, {"album_effect": 0.5}, {"seed": 1}])
def test_the_fingerprint_changes_with_what_is_heard(change: dict[str, float]) -> None:
    assert Toy(**change).tracks()["fingerprint"].iloc[0] != Toy().tracks()["fingerprint"].iloc[0]


@pytest.mark.parametrize("wrong", [{"n_artists": 1}, {"n_songs": 0}, {"seconds": 0.2}, {"album_effect": -1.0}])
def test_impossible_parameters_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(BenchError, match=rf"{next(iter(wrong))} must be at least .*, got {next(iter(wrong.values()))}"):
        Toy(**wrong)


def test_the_gap_between_song_and_album_folds_grows_with_the_album_effect() -> None:
    """Cross-validated accuracy by song minus by album; without an effect its 95% interval over songs holds 0."""
    none, strong = _paired_difference(0.0), _paired_difference(2.0)
    rng = np.random.default_rng(0)
    means = [none[rng.integers(0, len(none), len(none))].mean() for _ in range(2000)]
    low, high = np.quantile(means, [0.025, 0.975])
    assert low <= 0 <= high
    assert strong.mean() > none.mean() + 0.25


def _paired_difference(effect: float) -> NDArray[np.float64]:
    """For each song: right when folds are dealt by song, minus right when they are dealt by album."""
    toy, baseline = Toy(seconds=8, album_effect=effect), MfccSVM()
    tracks = toy.tracks()
    vectors = np.stack(
        [baseline.summarise(baseline.features.compute(Song(toy.read(row, RATE), RATE))) for _, row in tracks.iterrows()]
    )
    right = {column: _right(vectors, tracks, column) for column in ("title", "album")}
    return right["title"] - right["album"]


def _right(vectors: NDArray[np.float32], tracks: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Leave-one-out by `album`, or by the place on the album: as many training songs, other albums or the same ones."""
    groups = (
        tracks["album"]
        if column == "album"
        else (tracks.groupby("artist").cumcount() + tracks.groupby(["artist", "album"]).cumcount()) % 4
    )
    guesses = cross_val_predict(MfccSVM().estimator(0), vectors, tracks["label"], groups=groups, cv=GroupKFold(4))
    return (guesses == tracks["label"].to_numpy()).astype(np.float64)


def _chroma(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Energy of the twelve pitch classes between 55 and 2000 Hz, (12,)."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    heard = (hertz > 55) & (hertz < 1000)
    classes = np.round(12 * np.log2(hertz[heard] / 440)).astype(int) % 12
    return np.bincount(classes, weights=power[heard], minlength=12)
