"""The training loop of the network family; the only place where Lightning trains."""

import logging
import math
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn

from crnn_bench import parallel
from crnn_bench.batches import SliceDataModule
from crnn_bench.cells import Trainer
from crnn_bench.numerics import Numerics
from crnn_bench.seeds import derive
from crnn_bench.whole import replacing

Epoch = dict[str, float]

LOGGERS = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")]
CHECKPOINT_SECONDS = 10.0  # at least so long between two checkpoints
ARCHIVE_FAULTS = (zipfile.BadZipFile, zlib.error, torch.serialization.pickle.UnpicklingError)  # type: ignore[attr-defined]


class Classifier(pl.LightningModule):
    """Cross-entropy and Adam around a network; losses are means over slices, whatever the last batch holds."""

    def __init__(self, network: nn.Module, settings: Trainer) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = settings.learning_rate
        self.schedule = settings.schedule(settings.max_epochs, settings.warmup_epochs, settings.patience)
        self.totals: dict[str, list[Tensor]] = {"train": [], "validation": []}
        self.losses: list[float] = []
        self.random: Tensor | None = None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(learned, lr=self.learning_rate, fused=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        random = parallel.gathered(torch.get_rng_state().to(self.device))
        checkpoint |= {"losses": self.losses, "random": random.cpu()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.losses, self.random = checkpoint["losses"], checkpoint["random"]

    def on_train_start(self) -> None:
        if self.random is not None:
            torch.set_rng_state(self.random[self.global_rank])
        elif self.global_rank:
            torch.manual_seed(derive(torch.initial_seed(), f"process {self.global_rank}"))

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
        self.log("validation_loss", loss, sync_dist=True)

    def means(self, part: str) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy over the slices seen since the epoch began."""
        loss, right, seen = parallel.total(torch.stack(self.totals[part]).sum(dim=0))
        return loss / seen, right / seen

    def _loss(self, batch: tuple[Tensor, Tensor], part: str) -> Tensor:
        """Of class numbers (batch,), or of shares of the classes (batch, classes), as mixtures have them."""
        x, y = batch
        logits = self.network(x.float())
        loss: Tensor = nn.functional.cross_entropy(logits, y, reduction="sum")
        right = (logits.argmax(dim=1) == (y if y.ndim == 1 else y.argmax(dim=1))).sum()
        seen = loss.new_tensor(len(y))
        self.totals[part].append(torch.stack([loss.detach(), right.to(loss), seen]))
        return loss / parallel.total(seen) * parallel.n_shares()  # whose gradients are averaged over the processes


class EpochRecorder(pl.Callback):
    """Keeps each epoch's losses and speed, and hands them on as they come.

    A training that goes on hands on all the epochs before, too: whoever follows it knows nothing of them.

    Attributes:
        earlier: seconds that killed processes have spent on what this one goes on with.
    """

    def __init__(self, n_train: int, on_epoch: Callable[[Epoch], None]) -> None:
        self.history: list[Epoch] = []
        self.n_train = n_train
        self.on_epoch = on_epoch
        self.started = self.trained = self.earlier = 0.0
        self.begun = time.perf_counter()

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

    @property
    def seconds(self) -> float:
        """Since the training began, but for what was lost with a killed process and the time until it went on."""
        return self.earlier + time.perf_counter() - self.begun

    def __getstate__(self) -> dict[str, Any]:
        """A process that shares the training tells nobody; its file does, when the training has ended."""
        return {**self.__dict__, "on_epoch": _keep_to_oneself}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Comes into such a process first of all, which is to be as quiet as this one."""
        self.__dict__ |= state
        _hush()

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        for epoch in self.history:
            self.on_epoch(epoch)


def _keep_to_oneself(_: Epoch) -> None:
    pass


class Keeper(Checkpoint):
    """Keeps the best epoch's weights in memory, and the whole training in a file.

    Args:
        path: of the file; `None` keeps none.
        mark: of all that decides the training; one of another mark does not go on from the file.
    """

    def __init__(self, path: Path | None, mark: str) -> None:
        self.path = path
        self.mark = mark
        self.best: dict[str, Tensor] = {}
        self.loss = math.inf
        self.ended = False
        self.saved = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, Classifier)
        if not self.best or module.losses[-1] < self.loss:
            self.best = {name: value.clone() for name, value in module.state_dict().items()}
            self.loss = math.inf if math.isnan(module.losses[-1]) else module.losses[-1]
        self.ended = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        due = time.monotonic() - self.saved >= CHECKPOINT_SECONDS or (self.ended and trainer.world_size > 1)
        if self.path and trainer.strategy.broadcast(due):
            with replacing(self.path) if trainer.is_global_zero else nullcontext(self.path) as part:
                trainer.save_checkpoint(part)
            self.saved = time.monotonic()

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"mark": self.mark, "ended": self.ended}

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "loss": self.loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.loss = state_dict["best"], state_dict["loss"]


def train(
    module: Classifier,
    data: SliceDataModule,
    trainer: Trainer,
    numerics: Numerics,
    recorder: EpochRecorder,
    checkpoint: Path | None = None,
    mark: str = "",
) -> str:
    """Trains, and leaves the module with the weights of its best epoch.

    Args:
        module: the network, with its first weights.
        data, trainer, numerics: what it is trained on, and how.
        recorder: of the epochs.
        checkpoint: file that the training is kept in, and from which it goes on if it is there.
        mark: as `Keeper` has it.

    Returns:
        Why it began anew although there is such a file; else nothing.
    """
    keeper = Keeper(checkpoint, mark)
    with TemporaryDirectory() as folder:
        if trainer.devices > 1 and not checkpoint:
            keeper.path = Path(folder) / "training"
        state, fault = _state(keeper.path, mark)
        if state:
            recorder.earlier = state["callbacks"][recorder.state_key].get("seconds", 0.0)
        if not state.get("ended"):
            with _quiet():
                _go_on(module, data, _lightning(trainer, numerics, [recorder, keeper]), state, keeper.path)
            state = _state(keeper.path, mark)[0] if trainer.devices > 1 else {}
        if state:
            for callback in (recorder, keeper):
                callback.load_state_dict(state["callbacks"][callback.state_key])
    if not keeper.best:
        raise RuntimeError("training ended before its first epoch did")
    module.load_state_dict(keeper.best)
    return fault


def _go_on(
    module: Classifier, data: SliceDataModule, trainer: pl.Trainer, state: Mapping[str, Any], path: Path | None
) -> None:
    """Trains to the end, from the first epoch or from what a file holds."""
    try:
        trainer.fit(module, datamodule=data, ckpt_path=path if state else None, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from None


def _state(path: Path | None, mark: str) -> tuple[Mapping[str, Any], str]:
    """What a checkpoint holds, or nothing and the reason why it is of no use."""
    if path is None or not path.exists():
        return {}, ""
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip():  # PyTorch does not look at checksums
                raise ValueError("its content has changed")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        same = state["mark"] == mark
    except (RuntimeError, ValueError, TypeError, LookupError, EOFError, *ARCHIVE_FAULTS):
        return {}, f"began anew: {path.name} is damaged"
    return (state, "") if same else ({}, f"began anew: {path.name} is of another training, or of another PyTorch")


def _lightning(trainer: Trainer, numerics: Numerics, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=trainer.max_epochs,
        accelerator="auto",
        devices=trainer.devices,
        strategy="auto" if trainer.devices == 1 else DDPStrategy(start_method="spawn"),
        use_distributed_sampler=False,  # the data module shares out each batch
        precision=numerics.lightning,
        callbacks=[*callbacks, EarlyStopping("validation_loss", patience=trainer.patience, check_finite=False)],
        logger=False,
        deterministic=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hushes Lightning for a while."""
    levels = {logger: logger.level for logger in LOGGERS}
    with warnings.catch_warnings():
        _hush()
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)


def _hush() -> None:
    """Lightning's remarks on devices and workers say nothing that a user could act on here."""
    for logger in LOGGERS:
        logger.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # what is frozen
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")
