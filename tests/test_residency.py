"""Frames on the device, in memory or on disk: the same batches, bit for bit, and none of it is a cell's business."""

import mmap
import pickle
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crnn_bench import networks, residency
from crnn_bench.batches import SliceBatches, SliceDataModule
from crnn_bench.cells import Cell, Trainer
from crnn_bench.errors import BenchError
from crnn_bench.models.crnn import CRNN
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from crnn_bench.residency import MappedBatches, Prefetched, ResidentBatches, resolve
from tests import test_networks as made

PLACES = ("device", "ram", "disk")
BINS = 5


def slices(folder: Path, frames: Sequence[int], length: int, starts: Sequence[Sequence[int]], dtype: Any) -> Slices:
    """Slices of tracks that lie one after another in two files, as a store holds them; they may overlap."""
    rng = np.random.default_rng(0)
    arrays: list[Any] = []
    for shard, some in enumerate([frames[: len(frames) // 2], frames[len(frames) // 2 :]]):
        path = folder / f"{shard}.npy"
        np.save(path, rng.standard_normal((sum(some), BINS)).astype(dtype))
        mapped = np.load(path, mmap_mode="r")
        ends = np.cumsum(some)
        arrays += [mapped[end - number : end] for end, number in zip(ends, some, strict=True)]
    track = np.repeat(np.arange(len(frames)), [len(some) for some in starts])
    start = np.concatenate([np.array(some, dtype=np.int64) for some in starts])
    names = tuple(str(number) for number in range(len(frames)))
    return Slices(names, arrays, track, start, np.full_like(start, length), track % 3, 10.0)


FRAMES, LENGTH = [4000, 70, 64, 900, 31], 32
STARTS = [[0, 32, 3000, 17, 3968], [0, 38], [32, 0, 1], [868], []]  # overlapping, in no order; one track has none


@pytest.fixture(params=[np.float16, np.float32])
def stored(tmp_path: Path, request: pytest.FixtureRequest) -> Slices:
    return slices(tmp_path, FRAMES, LENGTH, STARTS, request.param)


@pytest.mark.parametrize("gathering", [ResidentBatches, MappedBatches])
@given(items=st.lists(st.integers(0, 10), max_size=9))
def test_a_batch_is_what_the_plain_way_gathers(
    gathering: Any, items: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    some = slices(tmp_path_factory.mktemp("store"), FRAMES, LENGTH, STARTS, np.float16)
    dataset, plain = gathering(some), SliceBatches(some)
    (x, y), (wanted, labels) = dataset.__getitems__(items), plain.__getitems__(items)
    assert x.dtype == wanted.dtype == torch.float16
    assert x.shape == (len(items), BINS, LENGTH)
    assert torch.equal(x, wanted)
    assert torch.equal(y, labels)
    assert y.dtype == torch.int64
    assert len(dataset) == len(plain) == 11
    for item in items[:1]:
        assert torch.equal(dataset[item][0], torch.from_numpy(np.array(some[item])).T)
        assert dataset[item][1] == some.label[item]


def test_numbers_keep_the_stores_format(stored: Slices) -> None:
    assert ResidentBatches(stored).frames.dtype == torch.from_numpy(np.array(stored.arrays[0])).dtype


def test_memory_holds_each_track_once_and_only_those_that_have_slices(stored: Slices) -> None:
    held = ResidentBatches(stored).frames
    assert held.shape == (sum(FRAMES[:4]), BINS)
    assert residency.n_bytes(stored) == held.element_size() * held.numel()


def epochs(data: SliceDataModule) -> list[list[bytes]]:
    train, validation = data.train_dataloader(), data.val_dataloader()
    return [
        [x.numpy().tobytes() + y.numpy().tobytes() for x, y in loader]
        for _ in range(3)
        for loader in (train, validation)
    ]


def test_every_residency_gives_the_same_epochs(stored: Slices) -> None:
    """And leaves torch's own generator alone, from which dropout is drawn."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    told = [epochs(SliceDataModule(stored, stored, 4, 0, 7, residency=place)) for place in PLACES]
    told.append(epochs(SliceDataModule(stored, stored, 4, 2, 7, residency="disk")))
    assert told[0] == told[1] == told[2] == told[3]
    assert told[0][0] != told[0][2] != told[0][4]
    assert torch.equal(torch.get_rng_state(), before)


def test_every_residency_trains_the_same_network_and_is_recorded(tmp_path: Path) -> None:
    fitted = {place: made.fit(tmp_path, trainer=replace(made.TRAINER, residency=place)) for place in (*PLACES, "auto")}
    weights = [torch.cat([value.flatten() for value in one.network.state_dict().values()]) for one in fitted.values()]
    assert all(torch.equal(weights[0], other) for other in weights)
    assert [one.details["residency"] for one in fitted.values()] == ["device", "ram", "disk", "ram"]


def test_an_augmented_training_says_that_it_reads_the_store(tmp_path: Path) -> None:
    from crnn_bench.augmenting import Augmenter

    made_of = Augmenter(made.TRAIN, {}, [], made.N_CLASSES, 0)
    trainer = replace(made.TRAINER, residency="ram", max_epochs=1)
    fitted = networks.fit(
        made.MODEL, made.TRAIN, made.VALIDATION, made.N_CLASSES, trainer, 0, tmp_path, augmenter=made_of
    )
    assert fitted.details["residency"] == "disk"


# Prefetching


class Watched(MappedBatches):
    """Notes what is announced and gathered, in order."""

    def __init__(self, some: Slices) -> None:
        super().__init__(some)
        self.seen: list[tuple[str, tuple[int, ...]]] = []

    def announce(self, items: list[int]) -> None:
        self.seen.append(("announced", tuple(items)))
        super().announce(items)

    def gather(self, items: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(("gathered", tuple(items)))
        return super().gather(items)


@pytest.mark.parametrize("n_batches", [0, 1, 2, 5, 40])
def test_prefetched_batches_come_in_order_each_once(stored: Slices, n_batches: int) -> None:
    lists = [[number % 11, (3 * number) % 11] for number in range(n_batches)]
    dataset, plain = Watched(stored), SliceBatches(stored)
    found = list(Prefetched(dataset, lists))  # type: ignore[arg-type]
    assert len(found) == n_batches
    for (x, _), items in zip(found, lists, strict=True):
        assert torch.equal(x, plain.__getitems__(items)[0])
    for what in ("announced", "gathered"):
        assert [items for said, items in dataset.seen if said == what] == [tuple(items) for items in lists]


def test_batches_are_announced_and_gathered_before_they_are_asked_for(stored: Slices) -> None:
    lists = [[number] for number in range(11)] * 4
    dataset = Watched(stored)
    coming = iter(Prefetched(dataset, lists))  # type: ignore[arg-type]
    next(coming)
    announced = [items for said, items in dataset.seen if said == "announced"]
    assert len(announced) > Prefetched.GATHERED
    assert len(announced) <= Prefetched.ANNOUNCED + Prefetched.GATHERED + 1, "a huge epoch is not announced at once"
    coming.close()  # type: ignore[attr-defined]


def test_a_fault_while_reading_is_not_swallowed(stored: Slices) -> None:
    with pytest.raises(IndexError):
        list(Prefetched(MappedBatches(stored), [[0], [99]]))  # type: ignore[arg-type]


def test_an_announced_slice_is_the_slices_own_pages(stored: Slices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first and last byte in the file lie within what the system is told."""
    dataset = MappedBatches(stored)
    for item in range(len(stored)):
        mapped, offset = dataset.maps[stored.track[item]]
        assert mapped is not None
        first = offset + int(stored.start[item]) * stored[item].strides[0]
        assert mapped[first : first + stored[item].nbytes] == stored[item].tobytes()
    dataset.announce(list(range(len(stored))))  # the system refuses what lies outside of a map


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="other systems do not tell")
def test_files_are_read_at_random_for_a_while(stored: Slices) -> None:
    """The flag `rr` of Linux's maps: read what is asked for and no more."""

    def flagged() -> list[bool]:
        folder = str(Path(stored.arrays[0].filename).parent)  # type: ignore[attr-defined]
        told = Path("/proc/self/smaps").read_text()
        pairs = zip(told.split("VmFlags:"), told.split("VmFlags:")[1:], strict=False)
        return ["rr" in flags.split("\n")[0].split() for about, flags in pairs if folder in about]

    assert flagged() == [False, False]
    with residency.at_random([*stored.arrays, np.zeros(3)]):
        assert flagged() == [True, True]
    assert flagged() == [False, False]


def test_a_map_is_sent_to_another_process_by_name(stored: Slices) -> None:
    sent = bytes(ForkingPickler.dumps(stored))
    assert len(sent) < 5000 < stored.arrays[0].nbytes
    opened = pickle.loads(sent)
    for ours, theirs in zip(stored.arrays, opened.arrays, strict=True):
        assert np.array_equal(ours, theirs)
        assert theirs.dtype == ours.dtype
    assert isinstance(MappedBatches(opened).maps[0][0], mmap.mmap)
    assert torch.equal(MappedBatches(opened)[4][0], MappedBatches(stored)[4][0])


# What `auto` is


@pytest.mark.parametrize(("times", "wanted"), [(4.1, "ram"), (3.9, "disk"), (0, "disk")])
def test_auto_takes_at_most_a_quarter_of_what_is_free(
    stored: Slices, monkeypatch: pytest.MonkeyPatch, times: float, wanted: str
) -> None:
    needed = residency.n_bytes(stored) * 2
    monkeypatch.setattr(residency, "available_memory", lambda: int(times * needed))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert resolve("auto", [stored, stored]) == wanted
    for place in PLACES:
        assert resolve(place, [stored]) == place  # type: ignore[arg-type]


# A cell's identity


def cell(**settings: Any) -> Cell:
    choice = Choice(CRNN)
    return Cell(choice, choice, choice, 3.0, 3.0, "full", choice, 0, 0, Trainer(**settings))


def test_residency_is_no_part_of_a_cell() -> None:
    for place in ("auto", *PLACES):
        assert cell(residency=place).describe() == cell().describe()
        assert cell(residency=place).parameters == cell().parameters
    assert set(cell().describe()["trainer"]) == {
        "max_epochs",
        "patience",
        "batch_size",
        "learning_rate",
        "schedule",
        "warmup_epochs",
        "precision",
        "num_workers",
    }


def test_several_devices_are() -> None:
    assert "devices" not in cell(devices=1).describe()["trainer"]
    assert cell(devices=2).describe()["trainer"]["devices"] == 2
    assert cell(devices=2).parameters["trainer.devices"] == 2


@pytest.mark.parametrize("devices", [0, -1])
def test_no_devices_are_refused(devices: int) -> None:
    with pytest.raises(BenchError, match=f"must be above 0, got {devices}"):
        Trainer(devices=devices)
