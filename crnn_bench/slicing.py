"""Tracks → slices, an index into the store; and batches of them for the training loop."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler

from crnn_bench.augmenting import Augmenter
from crnn_bench.records import Slices


def slice_frames(clip_seconds: float, frames_per_second: float) -> int:
    """Frames of a slice: the least number that covers `clip_seconds` (3 s at 31.25 frames a second: 94)."""
    return math.ceil(clip_seconds * frames_per_second - 1e-6)


def least_frames(clip_seconds: float | None, frames_per_second: float, rule: Literal["full", "legacy"]) -> int:
    """Frames of the shortest song that gives a slice."""
    if clip_seconds is None:
        return 1
    return slice_frames(clip_seconds, frames_per_second) * (2 if rule == "legacy" else 1)


def cut(
    tracks: pd.DataFrame,
    arrays: Sequence[NDArray[np.floating]],
    classes: Sequence[str],
    frames_per_second: float,
    clip_seconds: float | None,
    rule: Literal["full", "legacy"] = "full",
    columns: tuple[str, ...] = (),
) -> Slices:
    """Cuts tracks into slices that do not overlap; the remainder is dropped.

    Args:
        tracks: rows of the catalogue.
        arrays: their features, each (frames, bins).
        classes: the catalogue's class order.
        frames_per_second: of the features.
        clip_seconds: length of a slice; `None` makes each whole track one slice.
        rule: `full` gives all floor(frames / length) whole slices; `legacy` drops the last of them, as the released
            code of Nasrullah & Zhao (2019) does.
        columns: what the bins are called.
    """
    frames = np.array([len(array) for array in arrays], dtype=np.int64)
    length = frames if clip_seconds is None else np.full_like(frames, slice_frames(clip_seconds, frames_per_second))
    count = frames // np.maximum(length, 1) - (rule == "legacy" and clip_seconds is not None)
    count = np.maximum(count, 0)
    track = np.repeat(np.arange(len(frames)), count)
    within = np.arange(len(track)) - np.repeat(np.cumsum(count) - count, count)
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[label] for label in tracks["label"]], dtype=np.int64)
    return Slices(
        tracks=tuple(tracks["track_id"]),
        arrays=list(arrays),
        track=track,
        start=within * length[track],
        length=length[track],
        label=labels[track],
        frames_per_second=frames_per_second,
        columns=columns,
    )


class SliceBatches(Dataset[tuple[Tensor, Tensor]]):
    """Slices as PyTorch wants them; a whole batch is gathered at once, as float16 (batch, bins, frames)."""

    def __init__(self, slices: Slices) -> None:
        self.slices = slices

    def __len__(self) -> int:
        return len(self.slices)

    def __getitems__(self, items: list[int]) -> tuple[Tensor, Tensor]:
        batch = torch.from_numpy(self.slices.batch(items)).transpose(1, 2)
        return batch, torch.from_numpy(self.slices.label[items])

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        x, y = self.__getitems__([item])
        return x[0], y[0]


class AugmentedBatches(Dataset[tuple[Tensor, Tensor]]):
    """Augmented slices by (epoch, slice); a batch is float32 (batch, bins, frames) with targets (batch, classes)."""

    def __init__(self, augmenter: Augmenter) -> None:
        self.augmenter = augmenter

    def __len__(self) -> int:
        return len(self.augmenter.training.slices)

    def __getitems__(self, pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        frames, targets = self.augmenter.batch(pairs)
        return torch.from_numpy(frames).transpose(1, 2), torch.from_numpy(targets)

    def __getitem__(self, pair: tuple[int, int]) -> tuple[Tensor, Tensor]:
        x, y = self.__getitems__([pair])
        return x[0], y[0]


class EpochSampler(Sampler[tuple[int, int]]):
    """The order of another sampler, as pairs of epoch and slice; each pass is an epoch."""

    def __init__(self, order: Sampler[int]) -> None:
        self.order = order
        self.epoch = -1

    def __len__(self) -> int:
        return len(self.order)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        self.epoch += 1
        epoch = self.epoch
        return ((epoch, item) for item in self.order)


class SliceDataModule(pl.LightningDataModule):
    """Training slices in a seeded order, validation slices in their own.

    The order is drawn in the main process, so the number of workers changes no batch.

    Args:
        train, validation: of one length.
        batch_size: slices a batch; the last of an epoch may be smaller.
        num_workers: loader processes; 0 reads in this one.
        seed: of the order.
        augmenter: of the training slices, if any.
    """

    def __init__(
        self,
        train: Slices,
        validation: Slices,
        batch_size: int,
        num_workers: int,
        seed: int,
        augmenter: Augmenter | None = None,
    ) -> None:
        super().__init__()
        self.train = train
        self.validation = validation
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.augmenter = augmenter
        self.generator = torch.Generator().manual_seed(seed)
        self.order = RandomSampler(SliceBatches(train), generator=self.generator)
        self.epochs = EpochSampler(self.order)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        if self.augmenter:
            return self._loader(AugmentedBatches(self.augmenter), self.epochs, self.generator)
        return self._loader(SliceBatches(self.train), self.order, self.generator)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        return self._loader(SliceBatches(self.validation))

    def _loader(
        self,
        dataset: Dataset[tuple[Tensor, Tensor]],
        order: Sampler[Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=order,
            generator=generator,
            num_workers=self.num_workers,
            persistent_workers=False,  # ones that persist draw fewer numbers, and the order would depend on them
            collate_fn=_as_it_is,
        )


def _as_it_is(batch: Any) -> Any:
    return batch
