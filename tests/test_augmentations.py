"""Augmentations: what each does to a slice or to a song, and what all of them must keep."""

import pickle
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch.utils.data import DataLoader

from crnn_bench import feature_store, plugins
from crnn_bench.altered import Altered, Form
from crnn_bench.augmentations import Augmentation, Example, Place, Training
from crnn_bench.augmentations.added_beat import AddedBeat
from crnn_bench.augmentations.bar_remix import BarRemix
from crnn_bench.augmentations.frequency_mask import FrequencyMask
from crnn_bench.augmentations.harmonic_gain import HarmonicGain
from crnn_bench.augmentations.mixup import Mixup
from crnn_bench.augmentations.noise import Noise
from crnn_bench.augmentations.percussive_gain import PercussiveGain
from crnn_bench.augmentations.pitch_shift import PitchShift
from crnn_bench.augmentations.random_crop import RandomCrop
from crnn_bench.augmentations.random_gain import RandomGain
from crnn_bench.augmentations.shuffle_and_remix import HARMONIC, PERCUSSIVE, ShuffleAndRemix
from crnn_bench.augmentations.tempo_change import TempoChange
from crnn_bench.augmentations.time_mask import TimeMask
from crnn_bench.augmentations.time_stretch import TimeStretch
from crnn_bench.augmenting import Augmenter, check, forms
from crnn_bench.batches import SliceBatches, SliceDataModule
from crnn_bench.beats import beats
from crnn_bench.datasets.toy import Toy
from crnn_bench.engines.local import Local
from crnn_bench.errors import BenchError
from crnn_bench.feature_store import FeatureStore
from crnn_bench.features import Feature
from crnn_bench.features.log_mel import LogMel
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.features.stft import Stft
from crnn_bench.records import Slices
from crnn_bench.slicing import cut
from crnn_bench.song import Song
from tests.conftest import RATE, tones

quick = settings(max_examples=25, deadline=None, derandomize=True)
EVERY: list[Any] = sorted(set(plugins.options(Augmentation).values()), key=lambda cls: cls.__name__)
every = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
CLASSES = ("alder", "birch", "cedar")
PER_SECOND = 10.0
Arrays = list[NDArray[np.float16]]


def cut_into(arrays: Sequence[NDArray[Any]], length: int) -> Slices:
    """Slices of some frames; the tracks' labels go round the three classes."""
    ids = [f"song {number}" for number in range(len(arrays))]
    tracks = pd.DataFrame({"track_id": ids, "label": [CLASSES[number % 3] for number in range(len(arrays))]})
    return cut(tracks, arrays, CLASSES, PER_SECOND, length / PER_SECOND)


def random_arrays(frames: Sequence[int], n_bins: int, seed: int) -> Arrays:
    """Decibels that nobody may write into, as of a store."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(-30, 15, (n, n_bins)).astype(np.float16) for n in frames]
    for array in arrays:
        array.flags.writeable = False
    return arrays


def stored_forms(augmentations: Sequence[Augmentation], frames: Sequence[int], n_bins: int) -> dict[str, Arrays]:
    """Arrays of each form, of other contents and lengths than the songs."""
    factors = (0.5, 0.9, 1.0, 1.2)
    return {
        form.key: random_arrays([int(n * factors[number % 4]) for n in frames], n_bins, seed=number + 1)
        for number, form in enumerate(forms(augmentations))
    }


def augmenter(
    augmentations: Sequence[Augmentation], frames: Sequence[int] = (50, 47, 25, 90), seed: int = 0
) -> Augmenter:
    slices = cut_into(random_arrays(frames, 6, 0), 12)
    return Augmenter(slices, stored_forms(augmentations, frames, 6), augmentations, 3, seed)


def training(arrays: Sequence[NDArray[Any]], length: int, **stored: Arrays) -> Training:
    return Training(cut_into(arrays, length), stored, 3)


def example(frames: NDArray[np.float32], label: int = 0) -> Example:
    target = np.eye(3, dtype=np.float32)[label]
    return Example(frames.copy(), target, label, Place(None, 0, 0))


def same(first: Example, second: Example) -> bool:
    return np.array_equal(first.frames, second.frames) and np.array_equal(first.target, second.target)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


ANY = training(random_arrays([20, 20, 20], 4, 0), 10)

# All of them


@every
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    frames=st.lists(st.integers(20, 60), min_size=1, max_size=4).map(lambda lengths: [*lengths, 40]),
    length=st.integers(1, 20),
    n_bins=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_shape_finiteness_and_targets_are_kept(
    cls: Any, frames: list[int], length: int, n_bins: int, seed: int
) -> None:
    arrays, augmentations = random_arrays(frames, n_bins, 0), [cls()]
    made = Augmenter(cut_into(arrays, length), stored_forms(augmentations, frames, n_bins), augmentations, 3, seed)
    for item in range(min(6, len(made.training.slices))):
        drawn = made(seed, item)
        assert drawn.frames.shape == (length, n_bins)
        assert drawn.frames.dtype == drawn.target.dtype == np.float32
        assert np.isfinite(drawn.frames).all()
        assert drawn.target.min() >= 0
        assert drawn.target.sum() == pytest.approx(1, abs=1e-6)
        assert drawn.label == made.training.slices.label[item]


@every
def test_an_example_depends_on_seed_epoch_and_slice_alone(cls: Any) -> None:
    pairs = [(epoch, item) for epoch in range(4) for item in range(len(augmenter([cls()]).training.slices))]
    made, again = augmenter([cls()]), pickle.loads(pickle.dumps(augmenter([cls()])))
    first = {pair: made(*pair) for pair in pairs}
    assert all(same(first[pair], again(*pair)) for pair in reversed(pairs))
    frames, targets = made.batch(pairs[5:9])
    assert all(np.array_equal(x, first[pair].frames) for x, pair in zip(frames, pairs[5:9], strict=True))
    assert all(np.array_equal(y, first[pair].target) for y, pair in zip(targets, pairs[5:9], strict=True))
    other = augmenter([cls()], seed=1)
    assert not all(same(first[pair], other(*pair)) for pair in pairs)
    assert not all(same(first[0, item], first[1, item]) for _, item in pairs if _ == 0)


@every
def test_slices_of_the_same_frames_become_different_ones(cls: Any) -> None:
    song = random_arrays([30], 6, 0)
    slices = cut_into(song * 24, 15)
    stored = {form.key: random_arrays([30], 6, 9) * 24 for form in forms([cls()])}
    made = Augmenter(slices, stored, [cls()], 3, 0)
    alike = [item for item in range(48) if slices.start[item] == 0 and slices.label[item] == 0]
    assert len(alike) == 8
    examples = [made(0, item) for item in alike]
    assert not all(same(examples[0], other) for other in examples)


@every
def test_nothing_stored_is_changed(cls: Any) -> None:
    """Neither the store's arrays nor what is validated on; not even where float32 is stored, which needs no copy."""
    arrays = [array.astype(np.float32) for array in random_arrays([40, 40, 40], 6, 0)]
    stored = {
        key: [each.astype(np.float32) for each in some] for key, some in stored_forms([cls()], [40] * 3, 6).items()
    }
    before = [array.tobytes() for array in [*arrays, *(each for some in stored.values() for each in some)]]
    slices = cut_into(arrays, 10)
    data = SliceDataModule(slices, slices, 4, 0, 0, Augmenter(slices, stored, [cls()], 3, 0))
    for _ in range(3):
        list(data.train_dataloader())
    assert [array.tobytes() for array in [*arrays, *(each for some in stored.values() for each in some)]] == before
    validated = list(data.val_dataloader())
    assert torch.equal(torch.cat([x for x, _ in validated]), torch.from_numpy(slices.batch(range(12))).transpose(1, 2))
    assert torch.cat([y for _, y in validated]).tolist() == slices.label.tolist()


@every
def test_an_augmentation_changes_some_slices(cls: Any) -> None:
    made = augmenter([cls()])
    drawn = [made(epoch, 0) for epoch in range(20)]
    assert not all(np.array_equal(some.frames, made.training.slices[0]) for some in drawn)


@pytest.mark.parametrize(
    "cls", [cls for cls in EVERY if "probability" in plugins.parameters(cls)], ids=lambda cls: cls.__name__
)
def test_without_probability_nothing_changes(cls: Any) -> None:
    never, always = augmenter([cls(probability=0.0)]), augmenter([cls(probability=1.0)])
    slices = never.training.slices
    for epoch in range(3):
        for item in range(len(slices)):
            assert np.array_equal(never(epoch, item).frames, slices[item].astype(np.float32))
    long_forms = [item for item in range(len(slices)) if slices.track[item] in (0, 1, 3)]  # half of 25 is a slice too
    assert not any(np.array_equal(always(0, item).frames, slices[item].astype(np.float32)) for item in long_forms)


def test_without_augmentations_a_slice_is_itself() -> None:
    made = augmenter([])
    for item in range(len(made.training.slices)):
        drawn = made(3, item)
        assert np.array_equal(drawn.frames, made.training.slices[item])
        assert drawn.target.argmax() == drawn.label


def test_all_moves_come_before_all_changes() -> None:
    """So their order against each other does not matter, where they draw alike."""

    class Plus(Augmentation):
        def change(self, example: Example, training: Training, rng: np.random.Generator) -> Example:
            return Example(example.frames + 1000, example.target, example.label, example.place)

    first, last = augmenter([Plus(), RandomCrop()]), augmenter([RandomCrop(), Plus()])
    assert all(same(first(0, item), last(0, item)) for item in range(4))
    assert all(first(0, item).frames.min() > 800 for item in range(4))


def test_changes_come_in_the_order_of_the_yaml() -> None:
    """Both draw from one generator: the gain first, then the mask's width and place."""
    whole = augmenter([RandomGain(40.0), TimeMask(1.0, 1)])
    rng = np.random.default_rng([0, 0, 0])
    louder = whole.training.slices[0] + np.float32(rng.uniform(-40, 40))
    width = int(rng.integers(13))
    start = int(rng.integers(13 - width))
    louder[start : start + width] = louder.mean()
    assert np.array_equal(whole(0, 0).frames, louder)


# Masks


@quick
@given(st.integers(1, 60), st.integers(2, 40), st.floats(0, 1), st.integers(1, 3), st.integers(0, 999), st.booleans())
def test_masks_hide_only_whole_stretches(n: int, m: int, width: float, number: int, seed: int, time: bool) -> None:
    frames = rng_of(seed).normal(size=(n, m)).astype(np.float32)
    mask = (TimeMask if time else FrequencyMask)(width, number)
    masked = mask.change(example(frames), ANY, rng_of(seed)).frames
    hidden = masked != frames
    lines = hidden if time else hidden.T
    assert (lines.all(axis=1) == lines.any(axis=1)).all(), "whole frames or bins"
    assert (masked[hidden] == frames.mean()).all()
    stretches = np.flatnonzero(np.diff(np.r_[0, lines.any(axis=1), 0]) == 1)
    assert len(stretches) <= number
    assert lines.any(axis=1).sum() <= number * int(width * len(lines))


@pytest.mark.parametrize("cls", [TimeMask, FrequencyMask])
def test_a_mask_reaches_every_width_and_place(cls: Any) -> None:
    frames = rng_of(0).normal(size=(20, 20)).astype(np.float32)
    seen = set()
    for seed in range(600):
        hidden = cls(0.2, 1).change(example(frames), ANY, rng_of(seed)).frames != frames
        lines = np.flatnonzero(hidden.any(axis=1 if cls is TimeMask else 0))
        seen.add((lines[0], len(lines)) if len(lines) else (0, 0))
    assert seen == {(0, 0)} | {(start, width) for width in range(1, 5) for start in range(21 - width)}


# Gain, crop, mixup


@quick
@given(st.floats(0, 40), st.integers(0, 999))
def test_a_gain_is_a_sum(decibels: float, seed: int) -> None:
    gains = RandomGain(decibels).change(example(np.zeros((9, 5), np.float32)), ANY, rng_of(seed)).frames
    frames = rng_of(seed).normal(-30, 15, (9, 5)).astype(np.float32)
    louder = RandomGain(decibels).change(example(frames), ANY, rng_of(seed)).frames
    assert np.unique(gains).size == 1
    assert abs(gains[0, 0]) <= decibels * (1 + 1e-6)
    assert np.array_equal(louder, frames + gains)


def test_gains_are_uniform() -> None:
    drawn = [
        RandomGain(6.0).change(example(np.zeros((1, 1), np.float32)), ANY, rng_of(n)).frames[0, 0] for n in range(999)
    ]
    assert stats.kstest(drawn, stats.uniform(-6, 12).cdf).pvalue > 0.01


def test_a_crop_reaches_every_place_of_its_track_and_no_other() -> None:
    songs = [np.stack([np.full(n, track), np.arange(n)], axis=1).astype(np.float16) for track, n in enumerate((25, 10))]
    made = Augmenter(cut_into(songs, 10), {}, [RandomCrop()], 3, 0)
    seen = []
    for epoch in range(400):
        frames = made(epoch, 0).frames
        assert (frames[:, 0] == 0).all()
        assert (np.diff(frames[:, 1]) == 1).all()
        seen.append(int(frames[0, 1]))
    assert set(seen) == set(range(16))
    assert stats.chisquare(np.bincount(seen)).pvalue > 0.01
    assert np.array_equal(made(7, 2).frames, songs[1]), "a song of one slice has one place"


def test_mixup_is_the_convex_combination_that_its_target_tells() -> None:
    songs = [np.full((10, 4), value, np.float16) for value in (0, 1, 8)]
    made = Augmenter(cut_into(songs, 10), {}, [Mixup(0.2)], 3, 0)
    levels = np.array([0, 1, 8])
    shares, partners = [], set()
    for epoch in range(1500):
        drawn = made(epoch, 1)
        assert np.allclose(drawn.frames, drawn.target @ levels, atol=1e-5)
        others = np.flatnonzero(drawn.target[[0, 2]])
        assert len(others) <= 1
        if len(others):
            partners.add(int(others[0]))
            shares.append(drawn.target[1])
    assert partners == {0, 1}
    assert stats.kstest(shares, stats.beta(0.2, 0.2).cdf).pvalue > 0.01


# Places in altered forms


def numbered(n: int) -> NDArray[np.float16]:
    return np.arange(n, dtype=np.float16)[:, np.newaxis]


@quick
@given(st.integers(5, 300), st.integers(1, 400), st.integers(1, 30), st.integers(0, 299))
def test_a_moment_is_found_in_a_longer_or_shorter_form(n: int, other: int, length: int, start: int) -> None:
    length = min(length, n)
    start = min(start, n - length)
    known = training([numbered(n)], length, form=[numbered(other)])
    place = Place(None, 0, start)
    moved = known.moved(place, "form")
    assert len(known.cut(moved)) == length
    if other < length:
        assert moved == place
    else:
        assert moved.form == "form"
        assert 0 <= moved.start <= other - length
        wanted = start * other / n
        assert abs(moved.start - wanted) <= 0.5 or moved.start == other - length < wanted


def test_a_later_form_takes_the_place_of_an_earlier_one() -> None:
    first, last = PitchShift((1.0,), probability=1.0), TimeStretch((0.5,), probability=1.0)
    stored = {first.forms[0].key: [numbered(100)], last.forms[0].key: [numbered(200)]}
    made = Augmenter(cut_into([numbered(100)], 10), stored, [first, last], 3, 0)
    assert made(0, 3).place == Place(last.forms[0].key, 0, 60)
    assert made(0, 3).frames[:, 0].tolist() == list(range(60, 70))


def test_forms_come_with_their_probability_and_evenly() -> None:
    alteration = TimeStretch((0.9, 1.1), probability=0.6)
    made = augmenter([alteration], frames=(200, 200))
    drawn = [made(epoch, 0).place.form for epoch in range(2000)]
    for form in alteration.forms:
        assert stats.binomtest(drawn.count(form.key), 2000, 0.3).pvalue > 0.01


def test_a_crop_within_an_altered_form_stays_in_it() -> None:
    alteration = TimeStretch((0.5,), probability=1.0)
    made = Augmenter(
        cut_into([numbered(30)], 10), {alteration.forms[0].key: [numbered(60)]}, [alteration, RandomCrop()], 3, 0
    )
    starts = {made(epoch, 0).place.start for epoch in range(600)}
    assert starts == set(range(51))


# Shuffle and remix


def test_the_remix_is_the_sum_of_powers_with_another_labels_percussion() -> None:
    songs, harmonic, percussive = (random_arrays([24] * 5, 4, seed) for seed in range(3))
    slices = cut_into(songs, 12)
    stored = {HARMONIC.key: harmonic, PERCUSSIVE.key: percussive}
    made = Augmenter(slices, stored, [ShuffleAndRemix(1.0)], 3, 0)
    own = 10 ** (harmonic[1][12:].astype(np.float64) / 10)
    sums = {
        partner: 10
        * np.log10(own + 10 ** (percussive[slices.track[partner]][start : start + 12].astype(np.float64) / 10))
        for partner, start in enumerate(slices.start)
    }
    found = set()
    for epoch in range(200):
        drawn = made(epoch, 3)  # the second slice of the second song
        (partner,) = (number for number, wanted in sums.items() if np.allclose(drawn.frames, wanted, atol=1e-3))
        found.add(partner)
        assert drawn.target.tolist() == [0, 1, 0]
    assert found == {item for item in range(10) if slices.label[item] != 1}


def test_a_label_alone_is_not_remixed() -> None:
    songs = random_arrays([24], 4, 0)
    stored = dict.fromkeys((HARMONIC.key, PERCUSSIVE.key), random_arrays([24], 4, 1))
    made = Augmenter(cut_into(songs, 12), stored, [ShuffleAndRemix(1.0)], 3, 0)
    assert np.array_equal(made(0, 1).frames, songs[0][12:])


def test_the_parts_add_up_to_the_song() -> None:
    song = Song(sine(440.0) + clicks(), RATE)
    harmonic, percussive = HARMONIC.alter(song), PERCUSSIVE.alter(song)
    assert np.allclose(harmonic + percussive, song.samples, atol=1e-6)
    inside = slice(RATE // 2, -RATE // 2)
    assert np.square(harmonic - sine(440.0))[inside].mean() < 0.05 * np.square(sine(440.0)).mean()


# Songs

SECONDS = 3


def sine(hertz: float, seconds: float = SECONDS) -> NDArray[np.float32]:
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def clicks(seconds: float = SECONDS, every_seconds: float = 0.5) -> NDArray[np.float32]:
    """Bursts of 10 ms of noise."""
    samples = np.zeros(int(seconds * RATE), np.float32)
    burst = rng_of(0).uniform(-0.8, 0.8, RATE // 100)
    for start in click_times(seconds, every_seconds):
        samples[int(start * RATE) :][: len(burst)] = burst
    return samples


def click_times(seconds: float, every_seconds: float = 0.5) -> NDArray[np.float64]:
    return np.arange(every_seconds / 2, seconds - 0.1, every_seconds)


def pitch(samples: NDArray[np.float32]) -> float:
    """Hz of the strongest partial in the middle of some samples."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
    return float(spectrum.argmax() * RATE / (1 << 18))


def amplitude(samples: NDArray[np.float32], hertz: float) -> float:
    wave = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / RATE)
    return float(2 * np.abs(np.mean(samples * wave)))


@pytest.mark.parametrize("rate", [0.8, 0.9, 1.1, 1.25])
def test_a_time_stretch_keeps_the_pitch(rate: float) -> None:
    (form,) = TimeStretch((rate,)).forms
    stretched = form.alter(Song(sine(440.0), RATE))
    assert len(stretched) == round(SECONDS * RATE / rate)
    assert pitch(stretched) == pytest.approx(440, rel=0.003)


@pytest.mark.parametrize("semitones", [-2.0, -1.0, 1.0, 3.0])
def test_a_pitch_shift_moves_the_pitch_and_keeps_the_length(semitones: float) -> None:
    (form,) = PitchShift((semitones,)).forms
    shifted = form.alter(Song(sine(440.0), RATE))
    assert len(shifted) == SECONDS * RATE
    assert pitch(shifted) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.003)


@pytest.mark.parametrize("rate", [0.8, 0.9, 1.1, 1.25])
def test_a_tempo_change_moves_pitch_and_length(rate: float) -> None:
    (form,) = TempoChange((rate,)).forms
    changed = form.alter(Song(sine(440.0), RATE))
    assert abs(len(changed) - SECONDS * RATE / rate) <= 1
    assert pitch(changed) == pytest.approx(440 * rate, rel=0.001)
    assert amplitude(changed[1000:-1000], 440 * rate) == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize("decibels", [-6.0, 6.0])
@pytest.mark.parametrize(("cls", "lasting"), [(HarmonicGain, True), (PercussiveGain, False)])
def test_a_gain_of_one_part_leaves_the_other(cls: Any, lasting: bool, decibels: float) -> None:
    song = Song(sine(440.0) + clicks(), RATE)
    (form,) = cls((decibels,)).forms
    raised = form.alter(song)
    tone = 20 * np.log10(amplitude(raised, 440.0) / amplitude(song.samples, 440.0))
    both = [
        np.concatenate([some[int(t * RATE) :][:160] for t in click_times(SECONDS)]) for some in (song.samples, raised)
    ]
    burst = np.square([spectrum_above(some, 2000) for some in both]).sum(axis=1)
    click = 10 * np.log10(burst[1] / burst[0])
    assert tone == pytest.approx(decibels if lasting else 0, abs=1.0)
    assert click == pytest.approx(0 if lasting else decibels, abs=1.0)


def spectrum_above(samples: NDArray[np.float32], hertz: float) -> NDArray[np.float64]:
    spectrum: NDArray[np.float64] = np.abs(np.fft.rfft(samples))[int(hertz * len(samples) / RATE) :]
    return spectrum


@pytest.mark.parametrize("ratio", [0.0, 10.0, 25.0])
def test_noise_reaches_its_ratio(ratio: float) -> None:
    (form,) = Noise((ratio,)).forms
    song = tones(0, 0, 0)
    noise = form.alter(Song(song, RATE)) - song
    assert 10 * np.log10(np.square(song).mean() / np.square(noise).mean()) == pytest.approx(ratio, abs=0.01)
    assert stats.kstest(noise[::10] / noise.std(), "norm").pvalue > 0.01
    halves = np.square(np.abs(np.fft.rfft(noise))).reshape(-1)
    assert halves[: len(halves) // 2].sum() == pytest.approx(halves[len(halves) // 2 :].sum(), rel=0.05), "white"
    other = form.alter(Song(tones(0, 0, 1), RATE)) - tones(0, 0, 1)
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.05, "each song has a noise of its own"


def test_beats_lie_on_the_clicks() -> None:
    found = beats(Song(clicks(10), RATE)) / RATE
    nearest = np.abs(found[:, np.newaxis] - click_times(10)).min(axis=1)
    assert len(found) >= len(click_times(10)) - 2
    assert nearest.max() < 0.05


def test_a_drum_is_added_on_each_beat() -> None:
    song = Song(clicks(10), RATE)
    (form,) = AddedBeat().forms
    drums = form.alter(song) - song.samples
    heard = np.flatnonzero(np.abs(drums) > 1e-4)
    starts = heard[np.diff(heard, prepend=-RATE) > RATE // 10]
    assert np.abs(starts - beats(song)).max() <= 8  # a drum begins from silence
    assert np.abs(drums).max() == pytest.approx(np.abs(song.samples).max() / 2, rel=0.01)
    assert not drums[: beats(song)[0]].any()


def test_a_remix_of_bars_is_the_same_samples_in_another_order() -> None:
    """120 beats a minute, so bars of 2 s; no sample is there twice, so each tells where it comes from."""
    samples = clicks(16) + rng_of(1).permutation(np.linspace(-0.01, 0.01, 16 * RATE)).astype(np.float32)
    came_from = {value: index for index, value in enumerate(samples.tolist())}
    assert len(came_from) == len(samples)
    (form,) = BarRemix().forms
    order = np.array([came_from[value] for value in form.alter(Song(samples, RATE)).tolist()])
    assert sorted(order) == list(range(len(samples)))
    cuts = np.flatnonzero(np.diff(order) != 1) + 1
    pieces = [order[first:end] for first, end in pairwise([0, *cuts, len(order)])]
    assert len(pieces) >= 4, "head, tail, and bars that changed places"
    assert pieces[0][0] == 0
    assert pieces[-1][-1] == len(samples) - 1
    bars = np.array([len(piece) for piece in pieces[1:-1]]) / RATE
    assert np.abs(bars - 2 * np.round(bars / 2)).max() < 0.1


def test_songs_without_beats_stay_as_they_are() -> None:
    for song in (Song(np.zeros(RATE, np.float32), RATE), Song(sine(440.0, 0.6), RATE)):
        assert np.array_equal(BarRemix().forms[0].alter(song), song.samples)
    silent = Song(np.zeros(RATE, np.float32), RATE)
    assert np.array_equal(AddedBeat().forms[0].alter(silent), silent.samples)


FORMS = forms([cls() for cls in EVERY])
every_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.function.__name__}{form.arguments}")


@every_form
def test_a_form_is_finite_and_the_same_each_time(form: Form) -> None:
    for samples in (tones(1, 2, 0, seconds=6.0), np.zeros(RATE, np.float32), tones(0, 0, 0, seconds=0.5)):
        before = samples.copy()
        altered = form.alter(Song(samples, RATE))
        assert altered.dtype == np.float32
        assert altered.ndim == 1
        assert 0.8 * len(samples) < len(altered) < 1.25 * len(samples)
        assert np.isfinite(altered).all()
        assert np.array_equal(altered, form.alter(Song(samples.copy(), RATE)))
        assert np.array_equal(samples, before)


# Stored features


@every_form
def test_a_forms_key_is_its_own(form: Form) -> None:
    again = Form(form.function, form.arguments, form.version)
    assert again.key == form.key
    assert pickle.loads(pickle.dumps(form)) == form
    newer = Form(form.function, form.arguments, form.version + 1)
    keys = {other.key for other in FORMS} | {newer.key}
    assert len(keys) == len(FORMS) + 1


def test_an_altered_feature_follows_its_inner_one() -> None:
    inner = Stft(sample_rate=8000, n_fft=512, hop_samples=128)
    form = TempoChange((0.8,)).forms[0]
    altered = Altered(inner, form)
    for name in (
        "n_bins",
        "columns",
        "sample_rate",
        "hop_samples",
        "frames_per_second",
        "dtype",
        "decibels",
        "is_table",
    ):
        assert getattr(altered, name) == getattr(inner, name)
    keys = {
        feature.key
        for feature in (
            inner,
            altered,
            Altered(Stft(sample_rate=8000, n_fft=512, hop_samples=256), form),
            Altered(inner, TempoChange((0.9,)).forms[0]),
            Altered(inner, Form(form.function, form.arguments, 2)),
        )
    }
    assert len(keys) == 5
    assert Altered(Stft(sample_rate=8000, n_fft=512, hop_samples=128), form).key == altered.key
    song = Song(sine(440.0), 8000)
    assert np.array_equal(altered.compute(song), inner.compute(Song(form.alter(song), 8000)))
    assert len(altered.compute(song)) == 1 + int(SECONDS * RATE / 0.8) // 128


def test_a_form_is_altered_once_for_all_features() -> None:
    heard = []
    song = Song(sine(440.0), RATE)
    real = TempoChange((0.9,)).forms[0].function

    def counted(song: Song, rate: float) -> NDArray[np.float32]:
        heard.append(rate)
        samples: NDArray[np.float32] = real(song, rate)
        return samples

    for feature in (LogMel(), Stft(), Mfcc()):
        Altered(feature, Form(counted, (0.9,))).compute(song)
    assert heard == [0.9]
    kept = [np.asarray(known).nbytes for known in song._known.values()]
    assert sum(kept) < 2 * song.samples.nbytes, "the spectra of all forms of an hour would fill the memory"


def test_altered_features_are_stored_and_resumed(tmp_path: Path) -> None:
    dataset = Toy(n_artists=2, n_albums=1, n_songs=2, seconds=2.0)
    tracks = dataset.tracks()
    augmentations = [TempoChange(), Noise((10.0,))]
    plain = LogMel()
    altered = [Altered(plain, form) for form in forms(augmentations)]
    wanted: list[Feature] = [plain, *altered]
    list(feature_store.extract(dataset, tracks, wanted[:3], tmp_path, Local()))
    left = feature_store.missing(tmp_path, tracks, wanted)
    assert {track: [feature.key for feature in features] for track, features in left.items()} == {
        track: [altered[2].key] for track in tracks["track_id"]
    }
    list(feature_store.extract(dataset, tracks, wanted, tmp_path, Local()))
    assert feature_store.missing(tmp_path, tracks, wanted) == {}
    assert {path.name for path in tmp_path.iterdir()} == {feature.key for feature in wanted}
    for feature in altered:
        for (_, track), array in zip(tracks.iterrows(), FeatureStore(tmp_path, feature).arrays(tracks), strict=True):
            song = Song(dataset.read(track, RATE), RATE)
            assert np.array_equal(array, plain.compute(Song(feature.form.alter(song), RATE)).astype(np.float16))


def test_forms_are_listed_once() -> None:
    several = [PitchShift((1.0, -1.0)), ShuffleAndRemix(), PitchShift((1.0, 2.0)), ShuffleAndRemix(0.1), TimeMask()]
    assert [form.arguments for form in forms(several)] == [(1.0,), (-1.0,), (), (), (2.0,)]
    assert forms([]) == ()


# What does not go together


@pytest.mark.parametrize("cls", [RandomGain, ShuffleAndRemix])
def test_decibels_are_needed(cls: Any) -> None:
    with pytest.raises(BenchError, match=f"{cls.__name__} needs decibels, which Mfcc does not give; use LogMel"):
        check([TimeMask(), cls()], Mfcc())
    check([cls()], LogMel())
    check([TimeMask(), Mixup(), PitchShift()], Mfcc())


def test_what_replaces_frames_comes_before_what_changes_them() -> None:
    with pytest.raises(BenchError, match="put ShuffleAndRemix before Mixup"):
        check([RandomCrop(), Mixup(), TimeMask(), ShuffleAndRemix()], LogMel())
    check([RandomCrop(), TimeStretch(), ShuffleAndRemix(), Mixup(), TimeMask()], LogMel())


def test_alterations_that_leave_no_slice_are_refused() -> None:
    """A song of 50 frames in the place of 12 at half its length still gives a slice, one of 20 does not."""
    halved = [TimeStretch((2.0,))]
    assert augmenter(halved, (50, 20))
    with pytest.raises(BenchError, match=r"no song altered by \w+ is as long as a slice of 12 frames \(.* has 10\)"):
        augmenter(halved, (20, 18))


FEATURES: list[Any] = sorted(set(plugins.options(Feature).values()), key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", [cls for cls in FEATURES if not cls.is_table], ids=lambda cls: cls.__name__)
def test_features_of_decibels_say_so(cls: Any) -> None:
    """Ten times the samples are 20 dB more in every bin, of these features and of no others."""
    feature = cls()
    noise = (0.01 * rng_of(0).standard_normal(RATE)).astype(np.float32)
    quiet, loud = (feature.compute(Song(np.float32(gain) * noise, feature.sample_rate)) for gain in (1, 10))
    assert feature.decibels == np.allclose(loud - quiet, 20, atol=0.1)


@pytest.mark.parametrize(
    ("cls", "wrong", "argument"),
    [
        (TimeMask, {"width": 1.5}, "width"),
        (FrequencyMask, {"number": 0}, "number"),
        (RandomGain, {"decibels": -1.0}, "decibels"),
        (RandomGain, {"decibels": float("inf")}, "decibels"),
        (Mixup, {"alpha": 0.0}, "alpha"),
        (Mixup, {"alpha": float("inf")}, "alpha"),
        (TimeStretch, {"rates": ()}, "rates"),
        (TimeStretch, {"rates": (0.9, 0.0)}, "rates"),
        (TimeStretch, {"rates": (90.0, 110.0)}, "rates"),
        (TempoChange, {"rates": (float("nan"),)}, "rates"),
        (PitchShift, {"semitones": (float("inf"),)}, "semitones"),
        (Noise, {"probability": 1.1}, "probability"),
        (ShuffleAndRemix, {"probability": float("nan")}, "probability"),
    ],
)
def test_impossible_arguments_are_refused(cls: Any, wrong: dict[str, Any], argument: str) -> None:
    with pytest.raises(BenchError, match=f"{cls.__name__}: {argument} must be") as caught:
        cls(**wrong)
    assert caught.value.argument == argument


# Batches


def batches(loader: Any) -> list[bytes]:
    return [x.numpy().tobytes() + y.numpy().tobytes() for x, y in loader]


def module(num_workers: int = 0, made: Augmenter | None = None) -> SliceDataModule:
    slices = augmenter([]).training.slices
    return SliceDataModule(slices, slices, 3, num_workers, 5, made)


def test_without_augmentation_batches_come_in_the_loaders_own_shuffled_order() -> None:
    data = module()
    as_torch: DataLoader[Any] = DataLoader(
        SliceBatches(data.train),
        batch_size=3,
        shuffle=True,
        generator=torch.Generator().manual_seed(5),
        collate_fn=lambda batch: batch,
    )
    loader = data.train_dataloader()
    for _ in range(3):
        assert batches(loader) == batches(as_torch)


def test_augmentation_does_not_change_the_order() -> None:
    plain, augmented = module().train_dataloader(), module(made=augmenter([])).train_dataloader()
    for _ in range(3):
        for (x, y), (other, target) in zip(plain, augmented, strict=True):
            assert torch.equal(x.float(), other)
            assert torch.equal(y, target.argmax(dim=1))
            assert target.dtype == other.dtype == torch.float32


def test_each_pass_is_an_epoch() -> None:
    made = augmenter([RandomCrop(), TimeMask(), Mixup()])
    loader = module(made=made).train_dataloader()
    n_slices = len(made.training.slices)
    for epoch in range(3):
        seen = {x.T.numpy().tobytes() for batch, _ in loader for x in batch}
        assert seen == {made(epoch, item).frames.tobytes() for item in range(n_slices)}


def test_the_number_of_workers_changes_no_augmented_batch() -> None:
    told = []
    for num_workers in (0, 2):
        data = module(num_workers, augmenter([PitchShift(), RandomCrop(), ShuffleAndRemix(), Mixup(), TimeMask()]))
        train, validation = data.train_dataloader(), data.val_dataloader()
        told.append([(batches(train), batches(validation)) for _ in range(2)])
    assert told[0] == told[1]
    assert told[0][0][0] != told[0][1][0]


def test_one_augmented_slice_is_as_in_a_batch() -> None:
    dataset = module(made=augmenter([Mixup()])).train_dataloader().dataset
    x, y = dataset[1, 2]
    batch, targets = dataset.__getitems__([(1, 2)])  # type: ignore[attr-defined]
    assert torch.equal(x, batch[0])
    assert torch.equal(y, targets[0])
    assert len(dataset) == len(augmenter([]).training.slices)  # type: ignore[arg-type]


def test_lightning_counts_each_epoch_once() -> None:
    class Recorder(Augmentation):
        def move(self, place: Place, training: Training, rng: np.random.Generator) -> Place:
            drawn.append(rng.random())
            return place

    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(6, 3)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(self.layer(batch[0].mean(dim=2)), batch[1])

        def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
            assert batch[0].dtype == torch.float16

    drawn: list[float] = []
    made = augmenter([Recorder()])
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's remarks on devices and workers
        pl.Trainer(max_epochs=3, accelerator="cpu", num_sanity_val_steps=0, **quiet).fit(Model(), module(made=made))
    n_slices = len(made.training.slices)
    wanted = [[np.random.default_rng([0, epoch, item]).random() for item in range(n_slices)] for epoch in range(3)]
    assert [sorted(drawn[n_slices * epoch :][:n_slices]) for epoch in range(3)] == [sorted(some) for some in wanted]
