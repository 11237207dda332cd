"""Batches of slices for the training loop."""

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler

from crnn_bench.augmenting import Augmenter
from crnn_bench.records import Slices


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
