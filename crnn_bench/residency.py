"""Where the frames of a training live: on the device that trains, in memory, or on disk; its batches are the same."""

import mmap
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crnn_bench.parallel import Shares
from crnn_bench.records import Slices
from crnn_bench.room import available_memory

Residency = Literal["device", "ram", "disk"]

SHARE = 0.25  # of the memory that is free, at most so much for frames: other cells may train beside this one


def resolve(wanted: Literal["auto"] | Residency, parts: Sequence[Slices]) -> Residency:
    """What `trainer.residency` stands for: `auto` is the nearest place of which the frames take at most `SHARE`.

    Args:
        wanted: the setting.
        parts: the slices of a training.
    """
    if wanted != "auto":
        return wanted
    needed = sum(n_bytes(slices) for slices in parts)
    if torch.accelerator.is_available() and needed <= SHARE * torch.accelerator.get_memory_info()[0]:
        return "device"
    return "ram" if needed <= SHARE * available_memory() else "disk"


def n_bytes(slices: Slices) -> int:
    """Of the tracks that have slices."""
    return sum(slices.arrays[track].nbytes for track in np.unique(slices.track))


class Gathering(Dataset[tuple[Tensor, Tensor]], ABC):
    """Slices as PyTorch wants them; a batch, (batch, bins, frames) with its labels, is gathered at once.

    Attributes:
        some_item: stands in where a batch is empty.
    """

    some_item: Any = 0

    @abstractmethod
    def gather(self, items: list[Any]) -> tuple[Tensor, Tensor]:
        """A batch of one slice at least."""

    def __getitems__(self, items: list[Any]) -> tuple[Tensor, Tensor]:
        x, y = self.gather(items or [self.some_item])
        return x[: len(items)], y[: len(items)]

    def __getitem__(self, item: Any) -> tuple[Tensor, Tensor]:
        x, y = self.gather([item])
        return x[0], y[0]


class ResidentBatches(Gathering):
    """Slices of one length from frames that lie in one tensor, (frames, bins), in the store's own number format.

    A batch, (batch, bins, frames), is gathered where the tensor is: in memory, until it is moved.

    Args:
        slices: of one length.
    """

    def __init__(self, slices: Slices) -> None:
        used, track = np.unique(slices.track, return_inverse=True)
        ends = np.cumsum([len(slices.arrays[one]) for one in used])
        dtype = torch.from_numpy(np.empty(0, slices.arrays[0].dtype)).dtype
        self.frames = torch.empty(int(ends[-1]), slices.n_bins, dtype=dtype)
        for one, end in zip(used, ends, strict=True):
            array = slices.arrays[one]
            self.frames[end - len(array) : end] = torch.from_numpy(np.array(array))  # a copy: the store is read-only
        starts = ends - [len(slices.arrays[one]) for one in used]
        self.first = torch.from_numpy(starts[track] + slices.start)
        self.steps = torch.arange(int(slices.length[0]))
        self.labels = torch.from_numpy(slices.label)

    def to(self, device: torch.device) -> "ResidentBatches":
        """Moves the frames."""
        for name in ("frames", "first", "steps", "labels"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def __len__(self) -> int:
        return len(self.first)

    def gather(self, items: list[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor(items, device=self.first.device)
        rows = (self.first[chosen][:, None] + self.steps).flatten()
        frames = self.frames.index_select(0, rows).view(len(items), len(self.steps), -1)
        return frames.transpose(1, 2), self.labels[chosen]


class MappedBatches(Gathering):
    """Slices of one length from mapped files; batches as in `ResidentBatches`.

    Args:
        slices: of one length.
    """

    def __init__(self, slices: Slices) -> None:
        self.arrays = [np.asarray(array) for array in slices.arrays]  # plain ones are cut faster
        self.maps = [_map_of(array) for array in slices.arrays]
        self.track, self.start = slices.track, slices.start
        self.length, self.labels = int(slices.length[0]), slices.label

    def __len__(self) -> int:
        return len(self.track)

    def announce(self, items: list[int]) -> None:
        """Has the system read what a batch will need; returns at once."""
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        for track, start in zip(self.track[items].tolist(), self.start[items].tolist(), strict=True):
            mapped, offset = self.maps[track]
            if mapped is not None:
                width = self.arrays[track].strides[0]
                first = offset + start * width
                page = first - first % mmap.PAGESIZE
                mapped.madvise(mmap.MADV_WILLNEED, page, first + self.length * width - page)

    def gather(self, items: list[int]) -> tuple[Tensor, Tensor]:
        frames = np.empty((len(items), self.length, self.arrays[0].shape[1]), self.arrays[0].dtype)
        tracks, starts = self.track[items].tolist(), self.start[items].tolist()
        for place, (track, start) in enumerate(zip(tracks, starts, strict=True)):
            frames[place] = self.arrays[track][start : start + self.length]
        return torch.from_numpy(frames).transpose(1, 2), torch.from_numpy(self.labels[items])


def _map_of(array: np.ndarray[Any, Any]) -> tuple[mmap.mmap | None, int]:
    """The map in which an array lies, and where; no map for one in memory."""
    mapped = getattr(array, "_mmap", None)
    if mapped is None:
        return None, 0
    return mapped, array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data


@contextmanager
def at_random(arrays: Iterable[np.ndarray[Any, Any]]) -> Iterator[None]:
    """Has the system fetch no more of mapped files than is asked for, for a while.

    Otherwise it reads on around each page that it misses, by as much as its disk's setting says, and drops for that
    what was announced.
    """
    mapped = {id(found): found for found, _ in map(_map_of, arrays) if found is not None}.values()
    _advise(mapped, "MADV_RANDOM")
    try:
        yield
    finally:
        _advise(mapped, "MADV_NORMAL")


def _advise(maps: Iterable[mmap.mmap], advice: str) -> None:
    if hasattr(mmap, advice):
        for mapped in maps:
            mapped.madvise(getattr(mmap, advice))


class Prefetched:
    """Batches of mapped slices: announced long before, and gathered by a thread while the step before them runs.

    Args:
        dataset: holds the slices.
        batches: the slices' numbers, batch by batch.
    """

    ANNOUNCED, GATHERED = 16, 3  # batches ahead

    def __init__(self, dataset: MappedBatches, batches: Shares) -> None:
        self.dataset = dataset
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        announced: deque[list[int]] = deque()
        gathered: deque[Future[tuple[Tensor, Tensor]]] = deque()
        coming = iter(self.batches)
        with ThreadPoolExecutor(1) as thread:
            while True:
                for items in coming:
                    self.dataset.announce(items)
                    announced.append(items)
                    if len(announced) > self.ANNOUNCED:
                        break
                while announced and len(gathered) < self.GATHERED:
                    gathered.append(thread.submit(self.dataset.__getitems__, announced.popleft()))
                if not gathered:
                    return
                yield gathered.popleft().result()
