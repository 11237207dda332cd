"""Features against librosa, and the keys under which they are stored; audio reading against librosa."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from crnn_bench import audio, catalogue, feature_store
from crnn_bench.datasets.folder import Folder
from crnn_bench.datasets.toy import Toy
from crnn_bench.engines.local import Local
from crnn_bench.features import Feature
from crnn_bench.features.chroma import Chroma
from crnn_bench.features.cqt import Cqt
from crnn_bench.features.fma_table import FmaTable
from crnn_bench.features.gtzan_table import GtzanTable
from crnn_bench.features.log_mel import LogMel, hann, mel_filters
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.features.mfcc_gaussian import MfccGaussian
from crnn_bench.features.rms import Rms
from crnn_bench.features.rows import Rows
from crnn_bench.features.spectral_contrast import SpectralContrast
from crnn_bench.features.stft import Stft
from crnn_bench.features.tonnetz import Tonnetz
from crnn_bench.features.zero_crossing_rate import ZeroCrossingRate
from crnn_bench.median import sliding_median
from crnn_bench.plugins import Choice, options
from crnn_bench.song import Song
from tests.conftest import RATE, tones

FEATURES = sorted(set(options(Feature).values()), key=lambda cls: cls.__name__)
HEARING = [cls for cls in FEATURES if cls is not Rows]  # computed from sound
DECIBELS = 1e-3
HALF_STEP = 0.032  # of float16 below 128 dB

noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
ramp = np.geomspace(1e-4, 1, 2 * RATE).astype(np.float32)
SOUNDS: dict[str, NDArray[np.float32]] = {
    "noise": 0.1 * noise,
    "tones": tones(1, 0, 0, seconds=2.0),
    "one pure tone": np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32),
    "quiet": 1e-4 * noise,
    "at the limit of silence": 3e-6 * noise,
    "loud and clipped": np.clip(10 * noise, -1, 1),
    "far beyond full scale": 50 * noise,
    "swelling": ramp * noise,
    "a click in silence": np.eye(1, 2 * RATE, RATE, dtype=np.float32)[0],
    "a prime number of samples": 0.1 * noise[:31991],
    "one sample more than whole hops": 0.1 * noise[: 40 * 512 + 1],
    "one sample less than whole hops": 0.1 * noise[: 40 * 512 - 1],
    "one window": 0.1 * noise[:2048],
}


def song(sound: str, rate: float = RATE) -> Song:
    return Song(SOUNDS[sound], rate)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 22050.0, 44100, 48000])
@pytest.mark.parametrize(("n_fft", "n_mels"), [(2048, 128), (400, 40), (1024, 1), (333, 20), (4096, 256), (64, 64)])
@pytest.mark.filterwarnings("ignore:Empty filters detected")  # librosa's word of 64 mels in 33 bins
def test_filters_are_librosas_and_windows_are_scipys_to_the_last_bit(
    sample_rate: float, n_fft: int, n_mels: int
) -> None:
    theirs = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels)
    ours = mel_filters(sample_rate, n_fft, n_mels)
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)
    assert np.array_equal(hann(n_fft), librosa.filters.get_window("hann", n_fft).astype(np.float32))


def librosa_log_mel(samples: NDArray[np.float32], feature: LogMel) -> NDArray[np.float32]:
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=feature.sample_rate,
        n_fft=feature.n_fft,
        hop_length=feature.hop_samples,
        n_mels=feature.n_mels,
    )
    frames: NDArray[np.float32] = librosa.power_to_db(power, top_db=feature.top_db).T
    return frames


# Parity with librosa


@pytest.mark.parametrize("sound", SOUNDS)
def test_log_mel_equals_librosa(sound: str) -> None:
    ours = LogMel().compute(song(sound))
    theirs = librosa_log_mel(SOUNDS[sound], LogMel())
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= DECIBELS


@pytest.mark.parametrize(
    "feature",
    [
        LogMel(sample_rate=22050),
        LogMel(n_fft=1024, n_mels=64),
        LogMel(hop_samples=160, top_db=40.0),
        LogMel(n_fft=1000, hop_samples=333, n_mels=40),
        LogMel(sample_rate=44100, n_fft=4096, hop_samples=1024, n_mels=96, top_db=100.0),
    ],
    ids=lambda feature: f"{feature.sample_rate}-{feature.n_fft}-{feature.hop_samples}-{feature.n_mels}",
)
def test_log_mel_equals_librosa_at_other_parameters(feature: LogMel) -> None:
    for sound in ("noise", "tones", "swelling", "a prime number of samples"):
        gap = np.abs(feature.compute(song(sound, feature.sample_rate)) - librosa_log_mel(SOUNDS[sound], feature))
        assert gap.max() <= DECIBELS, sound


def test_top_db_reaches_down_from_the_songs_own_peak() -> None:
    frames = LogMel().compute(song("a click in silence"))
    assert frames.max() - frames.min() == pytest.approx(80.0, abs=1e-4)
    louder = LogMel().compute(Song(10 * SOUNDS["tones"], RATE))
    assert np.abs(louder - LogMel().compute(song("tones")) - 20).max() < DECIBELS


@pytest.mark.parametrize("sound", SOUNDS)
def test_mfcc_equals_librosa(sound: str) -> None:
    """A thousandth of a decibel in each of 128 bands is at most 0.012 in a coefficient."""
    ours = Mfcc().compute(song(sound))
    theirs = librosa.feature.mfcc(y=SOUNDS[sound], sr=RATE, n_mfcc=20, n_fft=2048, hop_length=512).T
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= DECIBELS * np.sqrt(128) + 1e-3


def test_mfcc_equals_librosa_at_other_parameters() -> None:
    feature = Mfcc(sample_rate=22050, n_mfcc=13, n_fft=1024, hop_samples=256, n_mels=40)
    theirs = librosa.feature.mfcc(y=SOUNDS["tones"], sr=22050, n_mfcc=13, n_fft=1024, hop_length=256, n_mels=40).T
    assert np.abs(feature.compute(song("tones", 22050)) - theirs).max() <= DECIBELS * np.sqrt(40)


@pytest.mark.parametrize("sound", SOUNDS)
def test_float16_adds_at_most_the_stated_error(sound: str) -> None:
    frames = LogMel().compute(song(sound))
    assert np.abs(frames).max() < 128
    assert np.abs(frames.astype(np.float16).astype(np.float32) - frames).max() <= HALF_STEP


def test_float16_error_of_every_decibel_value() -> None:
    values = np.linspace(-128, 128, 2**18 + 1, dtype=np.float32)
    error = np.abs(values.astype(np.float16).astype(np.float32) - values)
    assert 0.031 < error.max() <= HALF_STEP


@pytest.mark.parametrize("sound", SOUNDS)
def test_float16_keeps_mfcc_to_the_stated_error(sound: str) -> None:
    """Next to silence, with bands around -100 dB, the coefficient 0 passes 1024, where float16 has steps of 1."""
    frames = Mfcc().compute(song(sound))
    error = np.abs(frames.astype(np.float16).astype(np.float32) - frames)
    assert error[:, 0].max() <= (0.5 if sound == "at the limit of silence" else 0.25)
    assert error[:, 1:].max() <= 0.0625


@pytest.mark.parametrize("feature", [LogMel(), LogMel(hop_samples=160), Mfcc()], ids=["log-mel", "hop 160", "mfcc"])
@pytest.mark.parametrize("n_samples", [8000, 16384, 16385, 48000, 48001])
def test_number_of_frames(feature: Feature, n_samples: int) -> None:
    frames = feature.compute(Song(SOUNDS["noise"].repeat(2)[:n_samples], RATE))
    assert frames.shape == (1 + n_samples // feature.hop_samples, feature.n_bins)


def test_the_papers_frame_rate() -> None:
    assert LogMel().frames_per_second == 31.25


def test_a_frame_does_not_depend_on_where_blocks_end() -> None:
    """Songs are transformed 256 frames at a time."""
    samples = np.concatenate([SOUNDS["noise"]] * 5)
    whole = LogMel(top_db=1000.0).compute(Song(samples, RATE))
    assert len(whole) > 256
    shifted = LogMel(top_db=1000.0).compute(Song(samples[512 * 7 :], RATE))
    assert np.abs(whole[7 + 2 :] - shifted[2:]).max() <= DECIBELS


# Parity of the other frame features

librosa_short = pytest.mark.filterwarnings("ignore:n_fft=", "ignore:Trying to estimate tuning from empty")
PLAIN_FRAMES: dict[type[Feature], Callable[[NDArray[np.float32]], NDArray[np.floating]]] = {
    Chroma: lambda y: librosa.feature.chroma_stft(y=y, sr=RATE),
    SpectralContrast: lambda y: librosa.feature.spectral_contrast(y=y, sr=RATE),
    Tonnetz: lambda y: librosa.feature.tonnetz(y=y, sr=RATE),
    ZeroCrossingRate: lambda y: librosa.feature.zero_crossing_rate(y),
    Rms: lambda y: librosa.feature.rms(y=y),
    Cqt: lambda y: librosa.amplitude_to_db(np.abs(librosa.cqt(y, sr=RATE, tuning=None))),
    Stft: lambda y: librosa.power_to_db(np.abs(librosa.stft(y)) ** 2),
}


def assert_frames_equal(cls: type[Feature], samples: NDArray[np.float32]) -> None:
    """To a thousandth of the value; near 0 to a thousandth of a decibel, or to 1e-5 of the song's largest value."""
    ours, theirs = cls().compute(Song(samples, RATE)), PLAIN_FRAMES[cls](samples).T
    assert ours.shape == theirs.shape
    gap = np.abs(ours - theirs)
    near_zero = DECIBELS if cls in (SpectralContrast, Cqt, Stft) else 1e-5 * np.abs(theirs).max()
    assert (gap <= np.maximum(1e-3 * np.abs(theirs), near_zero)).all(), gap.max()


@librosa_short
@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("cls", PLAIN_FRAMES, ids=lambda cls: cls.__name__)
def test_frames_equal_librosa(cls: type[Feature], sound: str) -> None:
    assert_frames_equal(cls, SOUNDS[sound])


@pytest.mark.parametrize("sound", ["noise", "tones", "swelling"])
def test_frames_equal_librosa_at_other_parameters(sound: str) -> None:
    y = SOUNDS[sound]
    pairs = [
        (
            Chroma(sample_rate=22050, n_fft=4096, hop_samples=1024, n_chroma=24),
            librosa.feature.chroma_stft(y=y, sr=22050, n_fft=4096, hop_length=1024, n_chroma=24),
        ),
        (
            SpectralContrast(sample_rate=44100, n_fft=1024, hop_samples=256),
            librosa.feature.spectral_contrast(y=y, sr=44100, n_fft=1024, hop_length=256),
        ),
        (
            ZeroCrossingRate(frame_samples=1000, hop_samples=300),
            librosa.feature.zero_crossing_rate(y, frame_length=1000, hop_length=300),
        ),
        (Rms(frame_samples=1000, hop_samples=300), librosa.feature.rms(y=y, frame_length=1000, hop_length=300)),
    ]
    for feature, theirs in pairs:
        gap = np.abs(feature.compute(song(sound, feature.sample_rate)) - theirs.T)
        assert gap.max() <= 1e-3 * np.abs(theirs).max(), feature


# Parity of the tables

TABLE_RATE = 22050
TABLE_SOUNDS = {
    **{name: SOUNDS[name] for name in ("noise", "quiet", "swelling", "a click in silence", "loud and clipped")},
    "tones": tones(1, 0, 0, seconds=4.0, rate=TABLE_RATE),
    "one pure tone": np.sin(2 * np.pi * 440 * np.arange(3 * TABLE_RATE) / TABLE_RATE).astype(np.float32),
    "half a second": tones(2, 0, 0, seconds=0.5, rate=TABLE_RATE),
    "toy music": Toy(seconds=10.0).read(Toy(seconds=10.0).tracks().iloc[3], TABLE_RATE),
}


def plain_fma(y: NDArray[np.float32]) -> dict[str, NDArray[np.floating]]:
    """Each feature of the Free Music Archive's table on its own, from the samples."""
    octaves: Any = {"y": y, "sr": TABLE_RATE, "bins_per_octave": 12, "n_chroma": 12, "n_octaves": 7}
    return {
        "chroma_cens": librosa.feature.chroma_cens(**octaves),
        "chroma_cqt": librosa.feature.chroma_cqt(**octaves),
        "chroma_stft": librosa.feature.chroma_stft(y=y, sr=TABLE_RATE, n_chroma=12),
        "mfcc": librosa.feature.mfcc(y=y, sr=TABLE_RATE, n_mfcc=20),
        "rmse": librosa.feature.rms(S=np.abs(librosa.stft(y))),
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(y=y, sr=TABLE_RATE),
        "spectral_centroid": librosa.feature.spectral_centroid(y=y, sr=TABLE_RATE),
        "spectral_contrast": librosa.feature.spectral_contrast(y=y, sr=TABLE_RATE, n_bands=6),
        "spectral_rolloff": librosa.feature.spectral_rolloff(y=y, sr=TABLE_RATE),
        "tonnetz": librosa.feature.tonnetz(chroma=librosa.feature.chroma_cens(**octaves)),
        "zcr": librosa.feature.zero_crossing_rate(y, frame_length=2048, hop_length=512),
    }


PLAIN_STATISTICS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "kurtosis": scipy.stats.kurtosis,
    "max": np.max,
    "mean": np.mean,
    "median": np.median,
    "min": np.min,
    "skew": scipy.stats.skew,
    "std": np.std,
}


def assert_fma_equals(y: NDArray[np.float32]) -> None:
    """Every number to a thousandth of itself; near 0 to a thousandth of the row's deviation, or of a decibel.

    Skew and kurtosis, to a thousandth of themselves or of 1, say nothing of a row that never changes (ours are 0) nor
    of one whose changes are float32's rounding, below 1e-5 of its values or 1e-4 dB.
    """
    feature = FmaTable()
    ours = dict(zip(feature.columns, feature.compute(Song(y, TABLE_RATE))[0], strict=True))
    expected = []
    for name, rows in plain_fma(y).items():
        for statistic, of in PLAIN_STATISTICS.items():
            for number, row in enumerate(rows.astype(np.float64), start=1):
                column = f"{name} {statistic} {number:02}"
                expected.append(column)
                still = row.std() <= max(1e-5 * np.abs(row).max(), 1e-4 * (name == "spectral_contrast"))
                if statistic in ("kurtosis", "skew"):
                    assert np.isfinite(ours[column])
                    assert still or abs(ours[column] - of(row)) <= 1e-3 * max(abs(of(row)), 1), column
                else:
                    decibel = 1.0 if name == "spectral_contrast" else 1e-9
                    scale = max(abs(of(row)), row.std(), decibel)
                    assert abs(ours[column] - of(row)) <= 1e-3 * scale, column
    assert tuple(expected) == feature.columns


def plain_gtzan(y: NDArray[np.float32]) -> dict[str, float]:
    """The usual script of the GTZAN table."""
    harmonic, percussive = librosa.effects.hpss(y)
    tempo, _ = librosa.beat.beat_track(y=y, sr=TABLE_RATE)
    rows = {
        "chroma_stft": librosa.feature.chroma_stft(y=y, sr=TABLE_RATE),
        "rms": librosa.feature.rms(y=y),
        "spectral_centroid": librosa.feature.spectral_centroid(y=y, sr=TABLE_RATE),
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(y=y, sr=TABLE_RATE),
        "rolloff": librosa.feature.spectral_rolloff(y=y, sr=TABLE_RATE),
        "zero_crossing_rate": librosa.feature.zero_crossing_rate(y),
        "harmony": harmonic,
        "perceptr": percussive,
        "tempo": np.atleast_1d(tempo),
    }
    mfcc = librosa.feature.mfcc(y=y, sr=TABLE_RATE, n_mfcc=20)
    rows |= {f"mfcc{number}": row for number, row in enumerate(mfcc, start=1)}
    numbers: dict[str, float] = {}
    for name, row in rows.items():
        if name == "tempo":
            numbers[name] = float(row[0])
        else:
            numbers |= {f"{name}_mean": float(np.mean(row)), f"{name}_var": float(np.var(row))}
    return numbers


def assert_gtzan_equals(y: NDArray[np.float32]) -> None:
    """Every number to a thousandth of itself; a mean near 0 to a thousandth of the deviation.

    A variance is compared to no less than a millionth of the mean's square: below lies float32's rounding. Where one of
    the two parts of the sound is next to nothing, float32 leaves 1e-6 of the loudness.
    """
    feature = GtzanTable()
    ours = dict(zip(feature.columns, feature.compute(Song(y, TABLE_RATE))[0], strict=True))
    theirs = plain_gtzan(y)
    assert tuple(theirs) == feature.columns
    loudness = float(np.sqrt(np.mean(y.astype(np.float64) ** 2)))
    for column, number in theirs.items():
        name, _, moment = column.rpartition("_")
        scale = abs(number)
        if moment == "mean":
            scale = max(scale, theirs[f"{name}_var"] ** 0.5)
        if moment == "var":
            scale = max(scale, 1e-6 * theirs[f"{name}_mean"] ** 2)
        floor = (1e-6 * loudness) ** (2 if moment == "var" else 1) if name in ("harmony", "perceptr") else 0.0
        assert abs(ours[column] - number) <= max(1e-3 * scale, floor), column


@librosa_short
@pytest.mark.parametrize("sound", TABLE_SOUNDS)
def test_the_fma_table_equals_librosa(sound: str) -> None:
    assert_fma_equals(TABLE_SOUNDS[sound])


@librosa_short
@pytest.mark.parametrize("sound", TABLE_SOUNDS)
def test_the_gtzan_table_equals_librosa(sound: str) -> None:
    assert_gtzan_equals(TABLE_SOUNDS[sound])


@pytest.mark.real
def test_tables_and_frames_of_real_music_equal_librosa(real_music: Path) -> None:
    paths = sorted((real_music / "game-music").rglob("*.mp3"))
    assert paths
    for path in paths[:: len(paths) // 3][:3]:
        y = audio.load(path, TABLE_RATE)[: 20 * TABLE_RATE]
        assert_fma_equals(y)
        assert_gtzan_equals(y)
        for cls in PLAIN_FRAMES:
            assert_frames_equal(cls, audio.load(path, RATE)[: 20 * RATE])


def test_the_tables_columns_are_the_published_ones() -> None:
    fma, gtzan = FmaTable().columns, GtzanTable().columns
    assert len(set(fma)) == 518
    assert list(fma) == sorted(fma)
    assert fma[0] == "chroma_cens kurtosis 01"
    assert fma[-1] == "zcr std 01"
    assert len(set(gtzan)) == 57
    assert gtzan[:3] == ("chroma_stft_mean", "chroma_stft_var", "rms_mean")
    assert gtzan[16:18] == ("tempo", "mfcc1_mean")


def test_what_never_changes_has_no_shape() -> None:
    """SciPy says NaN of the skew and the kurtosis of equal numbers."""
    row = FmaTable().compute(Song(np.ones(TABLE_RATE, np.float32), TABLE_RATE))[0]
    numbers = dict(zip(FmaTable().columns, row, strict=True))
    assert np.isfinite(row).all()
    assert numbers["zcr kurtosis 01"] == numbers["zcr skew 01"] == 0


@pytest.mark.parametrize("sound", ["tones", "noise", "swelling"])
def test_the_gaussian_is_the_mean_and_covariance_of_librosas_mfcc(sound: str) -> None:
    feature = MfccGaussian()
    theirs = librosa.feature.mfcc(y=SOUNDS[sound], sr=RATE).astype(np.float64)
    covariance = np.cov(theirs, bias=True)
    expected = np.concatenate([theirs.mean(axis=1), covariance[np.triu_indices(20)]])
    deviation = np.sqrt(covariance.diagonal())
    scale = np.concatenate([np.abs(theirs.mean(axis=1)), np.outer(deviation, deviation)[np.triu_indices(20)]])
    assert feature.columns[19:22] == ("mfcc20 mean", "mfcc1 mfcc1 covariance", "mfcc1 mfcc2 covariance")
    assert (np.abs(feature.compute(song(sound))[0] - expected) <= 1e-3 * scale + 1e-3).all()


# Computing once


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[int]:
    """Counts the calls of a function that still does its work."""
    calls: list[int] = []
    function = getattr(module, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, call)
    return calls


def test_a_song_has_one_stft_and_one_cqt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what librosa calls inside its own features is counted; the CQT's octaves have transforms of their own."""
    told = counted(monkeypatch, librosa, "stft")
    inside = counted(monkeypatch, librosa.core.spectrum, "stft")
    constant_q = counted(monkeypatch, librosa, "cqt")
    inside_chroma = counted(monkeypatch, librosa.feature.spectral, "cqt")
    features = (FmaTable(), GtzanTable(), *(cls(sample_rate=TABLE_RATE) for cls in (Chroma, Stft, Cqt)))
    shared = Song(TABLE_SOUNDS["tones"], TABLE_RATE)
    for feature in features:
        feature.compute(shared)
    assert (len(told), len(inside), len(constant_q), len(inside_chroma)) == (1, 0, 1, 0)


def test_log_mel_and_mfcc_share_their_spectrogram(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = counted(monkeypatch, LogMel, "_decibels")
    shared = song("tones")
    for feature in (LogMel(), Mfcc(), MfccGaussian(), Mfcc(n_mfcc=13)):
        feature.compute(shared)
    assert len(computed) == 1


@pytest.mark.parametrize("cls", HEARING)
def test_what_a_song_remembers_changes_no_number(cls: type[Feature]) -> None:
    """Whatever was computed before on the same song."""
    feature = cls()
    shared = Song(TABLE_SOUNDS["tones"], feature.sample_rate)
    for other in HEARING:
        other().compute(shared)
    assert np.array_equal(feature.compute(shared), feature.compute(Song(TABLE_SOUNDS["tones"], feature.sample_rate)))


def test_numbers_do_not_depend_on_the_number_of_threads() -> None:
    """Extraction gives each process as many as there are cores left."""
    names = [cls.__name__ for cls in HEARING]
    code = f"""
import hashlib
import numpy as np
from crnn_bench.features import Feature
from crnn_bench.plugins import find
from crnn_bench.song import Song
samples = np.random.default_rng(0).standard_normal(20 * {RATE}).astype(np.float32)
for name in {names}:
    feature = find(name, Feature)()
    print(hashlib.md5(feature.compute(Song(samples, feature.sample_rate)).tobytes()).hexdigest())
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert len(outputs[0].split()) == len(names)
    assert outputs[0] == outputs[1]


# Sliding medians


@settings(deadline=None, max_examples=200)
@given(
    rows=st.tuples(st.integers(1, 4), st.integers(1, 90)).flatmap(
        lambda shape: arrays(np.float32, shape, elements=st.sampled_from([0.0, 1e-30, 0.5, 1.0, 2.0, 3.0, 7.0, 1e30]))
    ),
    width=st.integers(1, 40),
    seed=st.one_of(st.none(), st.integers(0, 1000)),
)
def test_the_sliding_median_equals_scipys(rows: NDArray[np.float32], width: int, seed: int | None) -> None:
    """Of few values, many of them equal, and of many; rows of less than a quarter of the window SciPy gets wrong."""
    width = min(width, 4 * rows.shape[1])
    if seed is not None:
        rows = np.random.default_rng(seed).standard_normal(rows.shape).astype(np.float32)
    before = rows.copy()
    ours = sliding_median(rows, width)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, scipy.ndimage.median_filter(rows, size=(1, width), mode="reflect"))
    assert np.array_equal(rows, before)


# Keys


def changed(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if value is None or isinstance(value, (int, float)):
        return (value or 0) + 1
    return f"{value}x" if isinstance(value, str) else (value, value)


def parameters() -> list[tuple[type, str]]:
    return [(cls, name) for cls in FEATURES for name in inspect.signature(cls).parameters]


@pytest.mark.parametrize(("cls", "name"), parameters(), ids=lambda value: getattr(value, "__name__", value))
def test_the_key_changes_with_every_parameter(cls: type[Feature], name: str) -> None:
    usual = cls()
    other = cls(**{name: changed(getattr(usual, name))})
    assert other.key != usual.key
    assert cls(**{name: getattr(usual, name)}).key == usual.key


def test_the_smallest_change_of_a_number_changes_the_key() -> None:
    assert LogMel(top_db=np.nextafter(80.0, 81.0)).key != LogMel().key


@pytest.mark.parametrize("cls", FEATURES)
def test_the_key_changes_with_the_codes_version(cls: type[Feature], monkeypatch: pytest.MonkeyPatch) -> None:
    before = cls().key
    monkeypatch.setattr(cls, "version", cls.version + 1)
    assert cls().key != before


def test_keys_differ_between_classes() -> None:
    class Louder(LogMel):
        """The same arguments, other numbers."""

    keys = [cls().key for cls in [*FEATURES, Louder]]
    assert len(set(keys)) == len(FEATURES) + 1


def test_a_class_of_the_same_name_elsewhere_has_another_key() -> None:
    twin = type("LogMel", (LogMel,), {"__module__": "somebody.else"})
    assert twin().key.partition("-")[0] == LogMel().key.partition("-")[0]
    assert twin().key != LogMel().key


def test_keys_are_the_same_in_a_fresh_process() -> None:
    imports = [f"from {cls.__module__} import {cls.__name__}" for cls in FEATURES]
    code = "; ".join([*imports, f"print({', '.join(f'{cls.__name__}().key' for cls in FEATURES)})"])
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        assert ran.stdout.split() == [cls().key for cls in FEATURES]


@pytest.mark.parametrize("cls", FEATURES)
def test_computing_does_not_change_the_key_or_the_samples(cls: type[Feature]) -> None:
    feature, samples = cls(), SOUNDS["noise"].copy()
    key, choice = feature.key, Choice.of(feature)
    first = feature.compute(Song(samples, feature.sample_rate))
    assert feature.key == key
    assert Choice.of(feature) == choice
    assert np.array_equal(samples, SOUNDS["noise"])
    assert np.array_equal(first, feature.compute(Song(samples, feature.sample_rate)))


# Audio files

FORMATS = {
    "wav": "PCM_16",
    "flac": "PCM_16",
    "ogg": "VORBIS",
    "mp3": "MPEG_LAYER_III",
    "aiff": "PCM_24",
    "au": "PCM_16",
}


def write_audio(path: Path, rate: int, channels: int, seconds: float = 0.7) -> Path:
    """Writes tones, each channel its own; in blocks, since libsndfile crashes on a long Vorbis buffer."""
    sides = [tones(side, 0, 0, seconds=seconds, rate=rate) for side in range(channels)]
    samples = np.clip(np.stack(sides, axis=1), -1, 1)[: int(seconds * rate) - 1]  # an odd number
    with soundfile.SoundFile(path, "w", rate, channels, subtype=FORMATS[path.suffix[1:]]) as file:
        for first in range(0, len(samples), 4096):
            file.write(samples[first : first + 4096])
    return path


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 2), (44100, 1), (44100, 2), (48000, 2)])
@pytest.mark.parametrize("ending", FORMATS)
def test_audio_equals_librosa(tmp_path: Path, ending: str, rate: int, channels: int) -> None:
    """To a hundredth of a 16-bit step; the channels are averaged in another order."""
    path = write_audio(tmp_path / f"song.{ending}", rate, channels)
    ours = audio.load(path, RATE)
    theirs, _ = librosa.load(path, sr=RATE)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 3e-7
    assert np.abs(ours).max() > 0.1


def test_audio_at_its_own_rate_is_what_the_file_holds(tmp_path: Path) -> None:
    samples = tones(0, 0, 0, seconds=1.0)
    soundfile.write(tmp_path / "song.wav", samples, RATE, subtype="FLOAT")
    assert np.array_equal(audio.load(tmp_path / "song.wav", RATE), samples)


def test_six_channels_are_averaged(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "song.wav", RATE, channels=6)
    theirs, _ = librosa.load(path, sr=None)
    assert np.abs(audio.load(path, RATE) - theirs).max() < 1e-6


def test_resampling_keeps_a_tone_and_removes_what_the_new_rate_cannot_hold() -> None:
    time = np.arange(48000) / 48000
    kept = audio.resample(np.sin(2 * np.pi * 1000 * time).astype(np.float32), 48000, RATE)
    assert np.abs(kept - np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE))[500:-500].max() < 1e-3
    removed = audio.resample(np.sin(2 * np.pi * 12000 * time).astype(np.float32), 48000, RATE)
    assert np.abs(removed[500:-500]).max() < 1e-3


def test_every_format_goes_through_a_folder(tmp_path: Path) -> None:
    for number, (ending, rate) in enumerate(
        (ending, rate) for ending in FORMATS for rate in (8000, 22050, 44100, 48000)
    ):
        path = tmp_path / "music" / ("A", "B")[number % 2] / f"album {ending}" / f"{rate}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, rate, channels=1 + number % 2)
    dataset = Folder(str(tmp_path / "music"))
    tracks = catalogue.listing(dataset)
    list(feature_store.extract(dataset, tracks, [LogMel()], tmp_path / "store", Local()))
    found = feature_store.FeatureStore(tmp_path / "store", LogMel()).lookup(tracks)
    assert len(found) == 4 * len(FORMATS)
    assert (found["reason"] == "").all()
    assert found["seconds"].between(0.69, 0.9).all()  # MP3 pads to whole frames, 0.14 s at 8 kHz
    built = catalogue.build(tracks, found, min_seconds=0.5)
    assert built.classes == ("A", "B")
