"""Copies are found however they were altered, and distinct music is not: on music made here, and on real music."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crnn_bench import catalogue, fingerprints
from crnn_bench.audio import resample
from crnn_bench.datasets.folder import Folder
from crnn_bench.datasets.toy import Toy
from crnn_bench.features.log_mel import LogMel
from crnn_bench.fingerprints import Comparison
from crnn_bench.song import Song

Samples = NDArray[np.float32]
RATE = 16000
VARIANTS = ("Come-and-Find-Me-B-mix", "cube-waltz-2", "JRPG-mysticIsle-reverse")  # of pieces that are there, too


def coded(samples: Samples, rate: int, **codec: object) -> Samples:
    """Through a codec at a rate and back, written in pieces (libsndfile's Vorbis fails on many samples at once)."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, **codec) as sound:
        resampled = resample(samples, RATE, rate)
        for start in range(0, len(resampled), rate):
            sound.write(resampled[start : start + rate])
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return resample(decoded, rate, RATE)


def mp3(samples: Samples, rate: int, kilobits: int) -> Samples:
    least, most = (32, 320) if rate >= 32000 else (8, 160)
    level = min(0.99, (most - kilobits) / (most - least))
    return coded(
        samples, rate, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=level
    )


def trimmed(samples: Samples, left: float, begin: float) -> Samples:
    start = int(begin * len(samples)) + 257  # no whole number of frames
    return samples[start : start + int(left * len(samples))]


COPIES: dict[str, Callable[[Samples], Samples]] = {
    "mp3, 64 kbit/s at 44.1 kHz": lambda samples: mp3(samples, 44100, 64),
    "mp3, 32 kbit/s at 44.1 kHz": lambda samples: mp3(samples, 44100, 32),
    "mp3, 32 kbit/s at 16 kHz": lambda samples: mp3(samples, 16000, 32),
    "mp3, 48 kbit/s at 22.05 kHz": lambda samples: mp3(samples, 22050, 48),
    "Ogg": lambda samples: coded(samples, 16000, format="OGG", subtype="VORBIS", compression_level=0.8),
    "60% left": lambda samples: trimmed(samples, 0.6, 0.2),
    "30% left": lambda samples: trimmed(samples, 0.3, 0.5),
    "6 dB louder, clipped": lambda samples: np.clip(2 * samples, -1, 1),
    "12 dB softer": lambda samples: samples / 4,
    "half a frame late": lambda samples: samples[257:],
    "5 s of silence before it": lambda samples: np.concatenate([np.zeros(5 * RATE + 101, np.float32), samples]),
    "half left, louder, mp3 of 48 kbit/s": lambda samples: mp3(
        np.clip(2 * trimmed(samples, 0.5, 0.2), -1, 1), 44100, 48
    ),
    "half left, softer, mp3 of 32 kbit/s": lambda samples: mp3(trimmed(samples, 0.5, 0.3) / 4, 22050, 32),
    "40% left, Ogg": lambda samples: coded(
        trimmed(samples, 0.4, 0.1), 44100, format="OGG", subtype="VORBIS", compression_level=0.8
    ),
}


def compared(songs: list[Samples]) -> Comparison:
    """Stored as the store does, in half precision."""
    frames = [LogMel().compute(Song(song.astype(np.float32), RATE)).astype(np.float16) for song in songs]
    return fingerprints.compare([fingerprints.peaks(one) for one in frames], [len(one) for one in frames])


def found(comparison: Comparison) -> set[tuple[int, int]]:
    return {(match.first, match.second) for match in comparison.matches}


@pytest.fixture(scope="module")
def toy() -> list[Samples]:
    """100 pieces of music: 5 artists in 4 keys, each with a scale, chords and drums of its own in all of its songs."""
    music = Toy(n_artists=5, n_albums=4, n_songs=5, seconds=20)
    return [music.read(track, RATE) for _, track in catalogue.listing(music).iterrows()]


@pytest.fixture(scope="module")
def toy_with_copies(toy: list[Samples]) -> Comparison:
    return compared(toy + [alter(toy[7 * place]) for place, alter in enumerate(COPIES.values())])


@pytest.mark.parametrize("place", range(len(COPIES)), ids=list(COPIES))
def test_every_planted_copy_is_found(toy_with_copies: Comparison, place: int) -> None:
    assert (7 * place, 100 + place) in found(toy_with_copies)


def test_nothing_but_the_copies_is_found(toy_with_copies: Comparison) -> None:
    assert found(toy_with_copies) == {(7 * place, 100 + place) for place in range(len(COPIES))}


def test_none_of_100_distinct_pieces_is_taken_for_a_copy(toy: list[Samples]) -> None:
    comparison = compared(toy)
    assert comparison.matches == ()
    assert comparison.backwards == ()
    assert comparison.mute == ()
    assert comparison.false_alarms == 0
    assert comparison.distinct_pairs == 2450  # half of the 4,950 pairs: both places odd, or both even


def test_a_copy_tells_by_how_much_it_is_late(toy_with_copies: Comparison) -> None:
    (late,) = [
        match
        for match in toy_with_copies.matches
        if match.second == 100 + list(COPIES).index("5 s of silence before it")
    ]
    assert late.offset_frames == pytest.approx(5 * 31.25, abs=1.5)


def test_the_same_song_shares_everything_with_itself(toy: list[Samples]) -> None:
    comparison = compared([*toy[:5], toy[2]])
    assert [(match.first, match.second, match.share, match.offset_frames) for match in comparison.matches] == [
        (2, 5, 1.0, 0)
    ]


def test_a_song_played_backwards_is_told_as_that(toy: list[Samples]) -> None:
    comparison = compared([*toy[:40], toy[3][::-1]])
    assert comparison.matches == ()
    assert [{match.first, match.second} for match in comparison.backwards] == [{3, 40}]


@pytest.mark.parametrize("number", [0, 1])
def test_less_than_two_songs_are_no_pair(toy: list[Samples], number: int) -> None:
    assert compared(toy[:number]) == Comparison()


def test_silence_and_noise_do_no_harm(toy: list[Samples]) -> None:
    rng = np.random.default_rng(0)
    nothing = [np.zeros(3 * RATE, np.float32), rng.standard_normal(3 * RATE).astype(np.float32)]
    comparison = compared([*toy[:6], *nothing])
    assert comparison.matches == ()
    assert 6 in comparison.mute


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.sampled_from([-40.0, 0.0, 6.0]))
def test_peaks_are_greatest_around_and_know_no_loudness(seed: int, n_frames: int, gain: float) -> None:
    frames = np.random.default_rng(seed).integers(-60, 0, (n_frames, 128)).astype(np.float32)
    time, bins = fingerprints.peaks(frames)
    near = fingerprints.NEAR
    for t, b in zip(time[:20], bins[:20], strict=True):
        around = frames[max(0, t - near) : t + near + 1, max(0, b - near) : b + near + 1]
        assert frames[t, b] == around.max()
    assert len(time) >= 1
    louder = fingerprints.peaks(frames + np.float32(gain))
    np.testing.assert_array_equal(louder, (time, bins))
    twice = fingerprints.backwards(fingerprints.backwards((time, bins), n_frames), n_frames)
    np.testing.assert_array_equal(twice, (time, bins))


@pytest.mark.real
@pytest.mark.slow
def test_real_music_alarms_for_its_copies_alone(real_music: Path) -> None:
    """50 pieces of game music and 50 for the piano, none of which is another one's variant."""
    songs: list[Samples] = []
    for name in ("game-music", "piano-composers"):
        dataset = Folder(str(real_music / name))
        tracks = catalogue.listing(dataset)
        tracks = tracks[~tracks["title"].isin(VARIANTS)]
        assert len(tracks) >= 100
        songs += [dataset.read(track, RATE)[: 90 * RATE] for _, track in tracks.iloc[: 2 * 50 : 2].iterrows()]
    comparison = compared(songs + [alter(songs[7 * place]) for place, alter in enumerate(COPIES.values())])
    assert found(comparison) == {(7 * place, 100 + place) for place in range(len(COPIES))}
    assert comparison.false_alarms == 0
    assert comparison.threshold == fingerprints.LEAST_SHARE
