"""Batches of slices for the training loop."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler

from crnn_bench.augmenting import Augmenter
from crnn_bench.parallel import Shares
from crnn_bench.records import Slices
from crnn_bench.residency import Gathering, MappedBatches, Prefetched, Residency, ResidentBatches

Batches = DataLoader[tuple[Tensor, Tensor]] | Prefetched


class SliceBatches(Gathering):
    """Slices one by one, the plain way: what loader processes do."""

    def __init__(self, slices: Slices) -> None:
        self.slices = slices

    def __len__(self) -> int:
        return len(self.slices)

    def gather(self, items: list[int]) -> tuple[Tensor, Tensor]:
        batch = torch.from_numpy(self.slices.batch(items)).transpose(1, 2)
        return batch, torch.from_numpy(self.slices.label[items])


class AugmentedBatches(Gathering):
    """Augmented slices by (epoch, slice); a batch is float32 (batch, bins, frames) with targets (batch, classes)."""

    some_item = (0, 0)

    def __init__(self, augmenter: Augmenter) -> None:
        self.augmenter = augmenter

    def __len__(self) -> int:
        return len(self.augmenter.training.slices)

    def gather(self, pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        frames, targets = self.augmenter.batch(pairs)
        return torch.from_numpy(frames).transpose(1, 2), torch.from_numpy(targets)


class Order(Sampler[int]):
    """A new order of slices in each pass, drawn as a whole when the pass begins; torch's `DataLoader` has the same.

    Args:
        n_slices: how many there are.
        seed: of the orders.

    Attributes:
        state: of the generator that draws them.
    """

    def __init__(self, n_slices: int, seed: int) -> None:
        self.n_slices = n_slices
        self.state = torch.Generator().manual_seed(seed).get_state()

    def __len__(self) -> int:
        return self.n_slices

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.set_state(self.state)
        torch.empty((), dtype=torch.int64).random_(generator=generator)  # a loader draws its workers' seed first
        order = list(RandomSampler(range(self.n_slices), generator=generator))
        self.state = generator.get_state()
        return iter(order)


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

    The order is drawn in the main process, and neither the number of workers nor the residency changes a batch.

    Args:
        train, validation: of one length.
        batch_size: slices a batch; the last of an epoch may be smaller.
        num_workers: loader processes, of what lies on disk or is augmented; 0 reads in this one.
        seed: of the order.
        augmenter: of the training slices, if any.
        residency: where frames live; the augmenter cuts its slices from the store itself.
    """

    def __init__(
        self,
        train: Slices,
        validation: Slices,
        batch_size: int,
        num_workers: int,
        seed: int,
        augmenter: Augmenter | None = None,
        residency: Residency = "disk",
    ) -> None:
        super().__init__()
        self.train = train
        self.validation = validation
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.augmenter = augmenter
        self.residency = residency
        parts = {"train": train, "validation": validation}
        self.held = {} if residency == "disk" else {part: ResidentBatches(parts[part]) for part in parts}
        self.order = Order(len(train), seed)
        self.epochs = EpochSampler(self.order)

    def state_dict(self) -> dict[str, Any]:
        """Where the order and the augmenter's epochs are."""
        return {"order": self.order.state, "epoch": self.epochs.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.order.state = state_dict["order"]
        self.epochs.epoch = state_dict["epoch"]

    def train_dataloader(self) -> Batches:
        if self.augmenter:
            return self._loader(AugmentedBatches(self.augmenter), self.epochs, self.num_workers)
        return self._of("train", self.order)

    def val_dataloader(self) -> Batches:
        return self._of("validation", range(len(self.validation)))

    def _of(self, part: str, order: Iterable[int]) -> Batches:
        """A part's batches from where its frames live."""
        if part in self.held:
            if self.residency == "device" and self.trainer:
                self.held[part].to(self.trainer.strategy.root_device)
            return self._loader(self.held[part], order)
        slices: Slices = getattr(self, part)
        if self.num_workers:
            return self._loader(SliceBatches(slices), order, self.num_workers)
        return Prefetched(MappedBatches(slices), self._batches(order))

    def _loader(
        self, dataset: Dataset[tuple[Tensor, Tensor]], order: Iterable[Any], num_workers: int = 0
    ) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(
            dataset,
            batch_sampler=self._batches(order),
            generator=torch.Generator(),  # of the workers' seed, lest it be drawn where dropout is
            num_workers=num_workers,
            collate_fn=_as_it_is,
        )

    def _batches(self, order: Iterable[Any]) -> Shares:
        own, of = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return Shares(BatchSampler(order, self.batch_size, drop_last=False), own, of)


def _as_it_is(batch: Any) -> Any:
    return batch
