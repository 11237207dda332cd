"""The training loop of the network family; the only place where Lightning trains."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from crnn_bench.batches import SliceDataModule
from crnn_bench.cells import Trainer
from crnn_bench.numerics import Numerics

Epoch = dict[str, float]


class Classifier(pl.LightningModule):
    """Cross-entropy and Adam around a network; losses are means over slices, whatever the last batch holds."""

    def __init__(self, network: nn.Module, settings: Trainer) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = settings.learning_rate
        self.schedule = settings.schedule(settings.max_epochs, settings.warmup_epochs, settings.patience)
        self.totals: dict[str, list[Tensor]] = {"train": [], "validation": []}
        self.losses: list[float] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(learned, lr=self.learning_rate, foreach=True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        passed = (self.trainer.global_step + 0.5) / self.trainer.num_training_batches
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate * self.schedule.rate(passed, self.losses)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return self._loss(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self._loss(batch, "validation")

    def on_train_epoch_start(self) -> None:
        self.totals = {"train": [], "validation": []}

    def on_validation_epoch_end(self) -> None:
        loss, _ = self.means("validation")
        self.losses.append(float(loss))
        self.log("validation_loss", loss)

    def means(self, part: str) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy over the slices seen since the epoch began."""
        loss, right, seen = torch.stack(self.totals[part]).sum(dim=0)
        return loss / seen, right / seen

    def _loss(self, batch: tuple[Tensor, Tensor], part: str) -> Tensor:
        """Of class numbers (batch,), or of shares of the classes (batch, classes), as mixtures have them."""
        x, y = batch
        logits = self.network(x.float())
        loss: Tensor = nn.functional.cross_entropy(logits, y)
        right = (logits.argmax(dim=1) == (y if y.ndim == 1 else y.argmax(dim=1))).sum()
        self.totals[part].append(torch.stack([loss.detach() * len(y), right.to(loss), loss.new_tensor(len(y))]))
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
        loss, accuracy = module.means("validation")
        epoch = {
            "epoch": float(trainer.current_epoch),
            "train_loss": float(module.means("train")[0]),
            "validation_loss": float(loss),
            "validation_accuracy": float(accuracy),
            "train_seconds": self.trained,
            "slices_per_second": self.n_train / self.trained,
        }
        self.history.append(epoch)
        self.on_epoch(epoch)


def train(
    module: Classifier, data: SliceDataModule, trainer: Trainer, numerics: Numerics, recorder: EpochRecorder
) -> None:
    """Trains, and leaves the module with the weights of its best epoch."""
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
        warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # what is frozen
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
