"""Slices of tracks of any length, and the batches that training sees."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crnn_bench.batches import SliceDataModule
from crnn_bench.records import Slices
from crnn_bench.slicing import cut, slice_frames

PER_SECOND = 31.25
CLASSES = ("alder", "birch", "cedar")
quick = settings(max_examples=25, deadline=None, derandomize=True)

lengths = st.lists(st.integers(0, 300), min_size=1, max_size=6)
clips = st.sampled_from([0.5, 1.0, 1.7, 3.0])
rules = st.sampled_from(["full", "legacy"])
Rule = Literal["full", "legacy"]


def listed(n_tracks: int) -> pd.DataFrame:
    ids = [f"song {number}" for number in range(n_tracks)]
    return pd.DataFrame({"track_id": ids, "label": [CLASSES[number % 3] for number in range(n_tracks)]})


def numbered(frames: Sequence[int]) -> list[NDArray[np.float16]]:
    """Tracks of three bins: the track's number, the frame's number (exact in float16 up to 2048), and a constant."""
    return [
        np.stack([np.full(n, track), np.arange(n), np.ones(n)], axis=1).astype(np.float16)
        for track, n in enumerate(frames)
    ]


def sliced(frames: Sequence[int], clip_seconds: float | None, rule: Rule = "full") -> Slices:
    return cut(listed(len(frames)), numbered(frames), CLASSES, PER_SECOND, clip_seconds, rule)


# Lengths


@pytest.mark.parametrize(("seconds", "frames"), [(1, 32), (3, 94), (5, 157), (10, 313), (20.096, 628), (29.152, 911)])
def test_the_papers_lengths(seconds: float, frames: int) -> None:
    assert slice_frames(seconds, PER_SECOND) == frames
    assert set(sliced([2000], seconds).length) == {frames}


def test_a_whole_number_of_frames_is_not_rounded_up() -> None:
    assert slice_frames(4.0, PER_SECOND) == 125
    assert slice_frames(0.1, 10.0) == 1
    assert slice_frames(0.3, 10.0) == 3  # 0.1 + 0.2 is a little more than 0.3
    assert slice_frames(0.1 + 0.2, 10.0) == 3


# Cutting


@quick
@given(lengths, clips)
def test_there_are_as_many_slices_as_fit(frames: list[int], clip: float) -> None:
    length = slice_frames(clip, PER_SECOND)
    slices = sliced(frames, clip)
    assert np.bincount(slices.track, minlength=len(frames)).tolist() == [n // length for n in frames]
    assert len(slices) == sum(n // length for n in frames)


@quick
@given(lengths, clips, rules)
def test_slices_are_whole_consecutive_and_of_their_track(frames: list[int], clip: float, rule: Rule) -> None:
    slices = sliced(frames, clip, rule)
    for item in range(len(slices)):
        values = slices[item]
        start, length, track = slices.start[item], slices.length[item], slices.track[item]
        assert values.shape == (slice_frames(clip, PER_SECOND), 3)
        assert (values[:, 0] == track).all()
        assert np.array_equal(values[:, 1], np.arange(start, start + length))
        assert start >= 0
        assert start + length <= frames[track]
    within = [slices.start[slices.track == track] for track in range(len(frames))]
    lying = int(slices.length[0]) if len(slices) else 0
    assert all(after - before == lying for starts in within for before, after in pairwise(starts))
    assert all(starts[0] == 0 for starts in within if len(starts))


@quick
@given(lengths, clips)
def test_legacy_drops_each_songs_last_full_slice(frames: list[int], clip: float) -> None:
    full, legacy = sliced(frames, clip), sliced(frames, clip, "legacy")
    expected = [
        (track, start)
        for track in range(len(frames))
        for start in full.start[full.track == track].tolist()[:-1]  # a song of one slice vanishes
    ]
    assert list(zip(legacy.track.tolist(), legacy.start.tolist(), strict=True)) == expected


@quick
@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), rules)
def test_without_a_length_a_slice_is_a_whole_song(frames: list[int], rule: Rule) -> None:
    slices = sliced(frames, None, rule)
    assert slices.track.tolist() == list(range(len(frames)))
    assert slices.start.tolist() == [0] * len(frames)
    assert slices.length.tolist() == frames
    assert all(np.array_equal(slices[item], numbered(frames)[item]) for item in range(len(frames)))


@quick
@given(lengths, clips, st.randoms(use_true_random=False))
def test_the_order_of_tracks_does_not_change_a_songs_slices(frames: list[int], clip: float, random: Random) -> None:
    order = list(range(len(frames)))
    random.shuffle(order)
    slices = sliced(frames, clip)
    arrays = numbered(frames)
    shuffled = cut(listed(len(frames)).iloc[order], [arrays[i] for i in order], CLASSES, PER_SECOND, clip)

    def described(some: Slices) -> list[tuple[str, int, int, int]]:
        names = [some.tracks[track] for track in some.track]
        return sorted(zip(names, some.start.tolist(), some.length.tolist(), some.label.tolist(), strict=True))

    assert described(slices) == described(shuffled)


@quick
@given(lengths, clips)
def test_a_dropped_tail_changes_no_slice(frames: list[int], clip: float) -> None:
    """Frames after the last whole slice might as well not be there."""
    length = slice_frames(clip, PER_SECOND)
    with_tail, without = sliced(frames, clip), sliced([n // length * length for n in frames], clip)
    assert np.array_equal(with_tail.start, without.start)
    assert all(np.array_equal(with_tail[item], without[item]) for item in range(len(without)))


def test_labels_are_numbered_in_the_catalogues_order() -> None:
    slices = cut(listed(3), numbered([40, 40, 40]), ("cedar", "alder", "birch"), PER_SECOND, 1.0)
    assert slices.label.tolist() == [1, 2, 0]
    assert slices.n_bins == 3


def test_a_slice_is_a_view() -> None:
    array = numbered([100])[0]
    slices = cut(listed(1), [array], CLASSES, PER_SECOND, 1.0)
    assert all(np.shares_memory(slices[item], array) for item in range(3))


@quick
@given(st.lists(st.integers(0, 8), max_size=12))
def test_a_batch_is_its_slices_stacked(items: list[int]) -> None:
    slices = sliced([100, 97, 96], 1.0)
    assert len(slices) == 9
    if items:
        assert np.array_equal(slices.batch(items), np.stack([slices[item] for item in items]))
        assert np.array_equal(slices.batch(np.array(items)), slices.batch(items))


# Batches

Batches = list[tuple[torch.Tensor, torch.Tensor]]
TRAIN, VALIDATION = [96, 128, 70, 31, 33], [64, 40, 40]  # 3 + 4 + 2 + 0 + 1 and 2 + 1 + 1 slices of 32 frames


def module(num_workers: int = 0, seed: int = 0, batch_size: int = 4) -> SliceDataModule:
    return SliceDataModule(sliced(TRAIN, 1.0), sliced(VALIDATION, 1.0), batch_size, num_workers, seed)


def names(batches: Batches) -> list[tuple[int, int]]:
    """Track and first frame of each slice in a loader's batches."""
    return [(int(x[0, 0]), int(x[1, 0])) for batch, _ in batches for x in batch]


def all_names(slices: Slices) -> list[tuple[int, int]]:
    return list(zip(slices.track.tolist(), slices.start.tolist(), strict=True))


def test_every_slice_comes_once_an_epoch_and_the_tail_is_kept() -> None:
    data = module()
    loader = data.train_dataloader()
    for _ in range(3):
        batches: Batches = list(loader)
        assert [len(y) for _, y in batches] == [4, 4, 2]
        assert sorted(names(batches)) == all_names(data.train)


def test_validation_slices_come_in_their_own_order() -> None:
    data = module()
    assert names(list(data.val_dataloader())) == all_names(data.validation)


def test_a_batch_is_bins_by_frames_with_its_labels() -> None:
    data = module()
    for batch, labels in data.train_dataloader():
        assert batch.shape[1:] == (3, 32)
        assert batch.dtype == torch.float16
        assert labels.dtype == torch.int64
        assert labels.tolist() == [int(x[0, 0]) % 3 for x in batch]


def test_the_order_is_seeded_and_new_in_each_epoch() -> None:
    def epochs(seed: int) -> list[list[tuple[int, int]]]:
        loader = module(seed=seed).train_dataloader()
        return [names(list(loader)) for _ in range(3)]

    torch.manual_seed(1)
    first = epochs(0)
    torch.manual_seed(2)
    assert epochs(0) == first
    assert epochs(1) != first
    assert first[0] != first[1] != first[2]
    assert first[0] != sorted(first[0])


def test_the_number_of_workers_changes_no_batch() -> None:
    """Through several epochs, with validation between them as in training."""
    told = []
    for num_workers in (0, 2):
        data = module(num_workers)
        train, validation = data.train_dataloader(), data.val_dataloader()
        epochs = [(list(train), list(validation)) for _ in range(2)]
        told.append([[x.numpy().tobytes() for x, _ in batches] for epoch in epochs for batches in epoch])
    assert told[0] == told[1]


def test_one_slice_is_as_in_a_batch() -> None:
    dataset = module().train_dataloader().dataset
    x, y = dataset[2]
    batch, labels = dataset.__getitems__([2])  # type: ignore[attr-defined]
    assert torch.equal(x, batch[0])
    assert y == labels[0]
    assert len(dataset) == 10  # type: ignore[arg-type]
