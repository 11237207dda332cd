"""Fit and predict for the network family; the only place where Lightning trains."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from crnn_bench import plugins
from crnn_bench.cells import Trainer
from crnn_bench.errors import BenchError
from crnn_bench.models import Network
from crnn_bench.numerics import Numerics, numerics_of
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from crnn_bench.seeds import derive
from crnn_bench.slicing import SliceDataModule

PREDICT_BATCH = 16  # on a processor, larger batches leave the cache and are slower
Epoch = dict[str, float]


class Classifier(pl.LightningModule):
    """Cross-entropy and Adam around a network; losses are means over slices, whatever the last batch holds."""

    def __init__(self, network: Network, learning_rate: float) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.totals: dict[str, list[Tensor]] = {"train": [], "validation": []}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate, foreach=True)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return self._loss(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self._loss(batch, "validation")

    def on_train_epoch_start(self) -> None:
        self.totals = {"train": [], "validation": []}

    def on_validation_epoch_end(self) -> None:
        self.log("validation_loss", self.mean("validation"))

    def mean(self, part: str) -> Tensor:
        """Mean loss over the slices seen since the epoch began."""
        summed, seen = torch.stack(self.totals[part]).sum(dim=0)
        mean: Tensor = summed / seen
        return mean

    def _loss(self, batch: tuple[Tensor, Tensor], part: str) -> Tensor:
        x, y = batch
        loss: Tensor = nn.functional.cross_entropy(self.network(x.float()), y)
        self.totals[part].append(torch.stack([loss.detach() * len(y), loss.new_tensor(len(y))]))
        return loss


class EpochRecorder(pl.Callback):
    """Keeps each epoch's losses and speed, and hands them on as they come."""

    def __init__(self, n_train: int, on_epoch: Callable[[Epoch], None]) -> None:
        self.history: list[Epoch] = []
        self.n_train = n_train
        self.on_epoch = on_epoch
        self.started = self.trained = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.trained = time.perf_counter() - self.started

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, Classifier)
        epoch = {
            "epoch": float(trainer.current_epoch),
            "train_loss": float(module.mean("train")),
            "validation_loss": float(module.mean("validation")),
            "train_seconds": self.trained,
            "slices_per_second": self.n_train / self.trained,
        }
        self.history.append(epoch)
        self.on_epoch(epoch)


@dataclass
class FittedNetwork:
    """A network with the weights of its best epoch.

    Attributes:
        network: in evaluation mode, fp32.
        numerics: of its training.
        details: what was chosen and reached, epoch by epoch too, for the record.
    """

    network: Network
    numerics: Numerics
    details: dict[str, Any]

    def predict_proba(self, slices: Slices) -> NDArray[np.float32]:
        """(slices, classes), always in fp32, so that a batch's company does not change a slice's answer."""
        return self._run(slices, lambda x: self.network(x).softmax(dim=1))

    def embed(self, slices: Slices) -> NDArray[np.float32]:
        """Bottleneck vectors, (slices, width), in the format of training: good enough to be looked at."""
        with self.numerics.autocast(next(self.network.parameters()).device.type):
            return self._run(slices, self.network.embed)

    @torch.no_grad()
    def _run(self, slices: Slices, function: Callable[[Tensor], Tensor]) -> NDArray[Any]:
        self.network.eval()
        device = next(self.network.parameters()).device
        results = []
        for first in range(0, len(slices), PREDICT_BATCH):
            batch = slices.batch(range(first, min(first + PREDICT_BATCH, len(slices))))
            x = torch.from_numpy(batch).transpose(1, 2).to(device, torch.float32)
            results.append(function(x).float().cpu().numpy())
        return np.concatenate(results)


def build(model: Choice, slices: Slices, n_classes: int, seed: int) -> Network:
    """Builds a network for slices of one length, its weights drawn from `seed`."""
    torch.manual_seed(derive(seed, "init"))
    network: Network = model.build(n_bins=slices.n_bins, n_frames=int(slices.length[0]), n_classes=n_classes)
    return network


def check(model: Choice, slices: Slices, n_classes: int) -> None:
    """Builds a network and lets it hear a slice, so that what cannot work is refused before anything is trained.

    Raises:
        BenchError: its arguments, the slices' shape, or its answer's shape do not fit.
    """
    try:
        network = build(model, slices, n_classes, 0).eval()
        with torch.no_grad():
            answer = tuple(network(torch.zeros(1, slices.n_bins, int(slices.length[0]))).shape)
    except plugins.FAULTS as error:
        place = plugins.place(error, model.cls)
        raise BenchError(f"{model.label} does not work{place}: {' '.join(str(error).split())}") from error
    if answer != (1, n_classes):
        raise BenchError(f"{model.label} answers a slice with the shape {answer}, expected {(1, n_classes)}")


def fit(
    model: Choice,
    train: Slices,
    validation: Slices,
    n_classes: int,
    trainer: Trainer,
    seed: int,
    cache: Path,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> FittedNetwork:
    """Trains until the validation loss has not fallen for `trainer.patience` epochs; restores the best epoch.

    Args:
        model: a Network class with its arguments.
        train, validation: slices of one length; nothing of the test part is seen.
        n_classes: of the experiment.
        trainer: the settings.
        seed: of weights, batches and dropout.
        cache: folder that remembers which number format is fastest here.
        on_epoch: is told each epoch's record.
    """
    network = build(model, train, n_classes, seed)
    shape = (trainer.batch_size, train.n_bins, int(train.length[0]))
    numerics = numerics_of(trainer.precision, lambda: build(model, train, n_classes, seed), shape, cache)
    network = numerics.lay_out(network)
    torch.manual_seed(derive(seed, "dropout"))
    recorder = EpochRecorder(len(train), on_epoch)
    module = Classifier(network, trainer.learning_rate)
    data = SliceDataModule(train, validation, trainer.batch_size, trainer.num_workers, derive(seed, "batches"))
    with tempfile.TemporaryDirectory() as folder, _quiet():
        best = ModelCheckpoint(folder, monitor="validation_loss", save_weights_only=True)
        stop = EarlyStopping("validation_loss", patience=trainer.patience, check_finite=False)
        try:
            _lightning(trainer, numerics, [recorder, stop, best]).fit(module, datamodule=data)
        except SystemExit:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from None
        if not best.best_model_path:
            raise RuntimeError("training ended before its first epoch did")
        module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
        best_epoch = int(min(recorder.history, key=lambda epoch: epoch["validation_loss"])["epoch"])
    speed = np.median([epoch["slices_per_second"] for epoch in recorder.history])
    details = {
        "precision": numerics.name,
        "epochs": len(recorder.history),
        "best_epoch": best_epoch,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "slices_per_second": float(speed),
        "history": recorder.history,
    }
    return FittedNetwork(network.eval(), numerics, details)


def _lightning(trainer: Trainer, numerics: Numerics, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=trainer.max_epochs,
        accelerator="auto",
        devices=1,
        precision=numerics.lightning,
        callbacks=callbacks,
        logger=False,
        deterministic=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's remarks on devices and workers say nothing that a user could act on here."""
    import warnings

    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
