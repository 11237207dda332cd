"""Features against librosa, and the keys under which they are stored; audio reading against librosa."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from crnn_bench import audio, catalogue, feature_store
from crnn_bench.datasets.folder import Folder
from crnn_bench.features import Feature
from crnn_bench.features.log_mel import LogMel
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.plugins import Choice, options
from tests.conftest import RATE, tones

FEATURES = sorted(set(options(Feature).values()), key=lambda cls: cls.__name__)
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


# what librosa.load imports on its way is about to leave Python's library


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
    ours = LogMel().compute(SOUNDS[sound])
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
        gap = np.abs(feature.compute(SOUNDS[sound]) - librosa_log_mel(SOUNDS[sound], feature))
        assert gap.max() <= DECIBELS, sound


def test_top_db_reaches_down_from_the_songs_own_peak() -> None:
    frames = LogMel().compute(SOUNDS["a click in silence"])
    assert frames.max() - frames.min() == pytest.approx(80.0, abs=1e-4)
    louder = LogMel().compute(10 * SOUNDS["tones"])
    assert np.abs(louder - LogMel().compute(SOUNDS["tones"]) - 20).max() < DECIBELS


@pytest.mark.parametrize("sound", SOUNDS)
def test_mfcc_equals_librosa(sound: str) -> None:
    """A thousandth of a decibel in each of 128 bands is at most 0.012 in a coefficient."""
    ours = Mfcc().compute(SOUNDS[sound])
    theirs = librosa.feature.mfcc(y=SOUNDS[sound], sr=RATE, n_mfcc=20, n_fft=2048, hop_length=512).T
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= DECIBELS * np.sqrt(128) + 1e-3


def test_mfcc_equals_librosa_at_other_parameters() -> None:
    feature = Mfcc(sample_rate=22050, n_mfcc=13, n_fft=1024, hop_samples=256, n_mels=40)
    theirs = librosa.feature.mfcc(y=SOUNDS["tones"], sr=22050, n_mfcc=13, n_fft=1024, hop_length=256, n_mels=40).T
    assert np.abs(feature.compute(SOUNDS["tones"]) - theirs).max() <= DECIBELS * np.sqrt(40)


@pytest.mark.parametrize("sound", SOUNDS)
def test_float16_adds_at_most_the_stated_error(sound: str) -> None:
    frames = LogMel().compute(SOUNDS[sound])
    assert np.abs(frames).max() < 128
    assert np.abs(frames.astype(np.float16).astype(np.float32) - frames).max() <= HALF_STEP


def test_float16_error_of_every_decibel_value() -> None:
    values = np.linspace(-128, 128, 2**18 + 1, dtype=np.float32)
    error = np.abs(values.astype(np.float16).astype(np.float32) - values)
    assert 0.031 < error.max() <= HALF_STEP


@pytest.mark.parametrize("sound", SOUNDS)
def test_float16_keeps_mfcc_to_the_stated_error(sound: str) -> None:
    """Next to silence, with bands around -100 dB, the coefficient 0 passes 1024, where float16 has steps of 1."""
    frames = Mfcc().compute(SOUNDS[sound])
    error = np.abs(frames.astype(np.float16).astype(np.float32) - frames)
    assert error[:, 0].max() <= (0.5 if sound == "at the limit of silence" else 0.25)
    assert error[:, 1:].max() <= 0.0625


@pytest.mark.parametrize("feature", [LogMel(), LogMel(hop_samples=160), Mfcc()], ids=["log-mel", "hop 160", "mfcc"])
@pytest.mark.parametrize("n_samples", [8000, 16384, 16385, 48000, 48001])
def test_number_of_frames(feature: Feature, n_samples: int) -> None:
    frames = feature.compute(SOUNDS["noise"].repeat(2)[:n_samples])
    assert frames.shape == (1 + n_samples // feature.hop_samples, feature.n_bins)


def test_the_papers_frame_rate() -> None:
    assert LogMel().frames_per_second == 31.25


def test_a_frame_does_not_depend_on_where_blocks_end() -> None:
    """Songs are transformed 256 frames at a time."""
    whole = LogMel(top_db=1000.0).compute(np.concatenate([SOUNDS["noise"]] * 5))
    assert len(whole) > 256
    shifted = LogMel(top_db=1000.0).compute(np.concatenate([SOUNDS["noise"]] * 5)[512 * 7 :])
    assert np.abs(whole[7 + 2 :] - shifted[2:]).max() <= DECIBELS


# Keys


def changed(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
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
    first = feature.compute(samples)
    assert feature.key == key
    assert Choice.of(feature) == choice
    assert np.array_equal(samples, SOUNDS["noise"])
    assert np.array_equal(first, feature.compute(samples))


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
    list(feature_store.extract(dataset, tracks, [LogMel()], tmp_path / "store", workers=1))
    found = feature_store.FeatureStore(tmp_path / "store", LogMel()).lookup(tracks)
    assert len(found) == 4 * len(FORMATS)
    assert (found["reason"] == "").all()
    assert found["seconds"].between(0.69, 0.9).all()  # MP3 pads to whole frames, 0.14 s at 8 kHz
    built = catalogue.build(tracks, found, min_seconds=0.5)
    assert built.classes == ("A", "B")
