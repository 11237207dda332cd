"""Fits a network."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crnn_bench import collector, hub, plugins
from crnn_bench.augmenting import Augmenter
from crnn_bench.cells import Trainer
from crnn_bench.errors import BenchError
from crnn_bench.fitted import FittedNetwork
from crnn_bench.models import Network, TooShortError
from crnn_bench.numerics import PLAIN, Numerics, numerics_of
from crnn_bench.plugins import Choice, digest, plain, unknown
from crnn_bench.records import Slices
from crnn_bench.seeds import derive

if TYPE_CHECKING:
    from crnn_bench.training import Epoch


@dataclass(frozen=True)
class Start:
    """Weights that a network begins with in the place of random ones.

    Attributes:
        weights: by the names that the network's own have.
        layers: which modules take theirs; all but the head where none is named.
        freeze: whether these learn no more.
        name: of where the weights come from.
        digest: hash of the weights.
        heard: content hashes of the tracks that they were trained and chosen on.
    """

    weights: Mapping[str, Tensor]
    layers: tuple[str, ...]
    freeze: bool
    name: str
    digest: str
    heard: frozenset[str]

    def carry_to(self, network: Network) -> None:
        """Lays the weights into a network.

        Raises:
            BenchError: the network has no such layer, the weights do not fit it, or nothing is left to learn.
        """
        known = [name for name, _ in network.named_children()]
        state = network.state_dict()
        for layer in self.layers or [name for name in known if name != "head"]:
            try:
                module = network.get_submodule(layer)
            except AttributeError:
                raise BenchError(f"init_from: {unknown(layer, known)}") from None
            wanted = [name for name in state if name.startswith(f"{layer}.")]
            if self.layers and not wanted:
                others = dict.fromkeys(name.partition(".")[0] for name in state)
                raise BenchError(f"init_from: {layer!r} has no weights; choose `layers` among {', '.join(others)}")
            for name in wanted:
                theirs = tuple(self.weights[name].shape) if name in self.weights else "nothing"
                if theirs != tuple(state[name].shape):
                    shape = tuple(state[name].shape)
                    said = f"{name} is {shape} here, but {theirs} in {self.name}"
                    raise BenchError(f"init_from: {said}; choose other `layers`, or the same arguments")
                state[name].copy_(self.weights[name])
            if self.freeze:
                network.freeze([module])
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise BenchError("init_from: all layers are frozen, so nothing would learn; leave out the head")


def build(model: Choice, slices: Slices, n_classes: int, seed: int, start: Start | None = None) -> Network:
    """Builds a network for slices of one length, its weights drawn from `seed`, or carried over from elsewhere."""
    torch.manual_seed(derive(seed, "init"))
    network: Network = model.build(n_bins=slices.n_bins, n_frames=int(slices.length[0]), n_classes=n_classes)
    if start:
        start.carry_to(network)
    return network


def version(model: Choice) -> str:
    """Version of the trained weights that a network brings; empty where it draws them."""
    name = model.cls.own_weights(**model.arguments)  # type: ignore[attr-defined]
    return hub.version(name) if name else ""


def check(model: Choice, slices: Slices, n_classes: int, start: Start | None = None) -> None:
    """Builds a network and lets it hear a slice, so that what cannot work is refused before anything is trained.

    Raises:
        BenchError: its arguments, the slices' shape, or its answer's shape do not fit.
    """
    try:
        network = build(model, slices, n_classes, 0, start).eval()
        with torch.no_grad():
            answer = tuple(network(torch.zeros(1, slices.n_bins, int(slices.length[0]))).shape)
    except TooShortError as error:
        least = math.ceil(100 * error.least / slices.frames_per_second) / 100
        raise BenchError(f"{error}, that is clip_seconds: {least:g}") from None
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
    on_epoch: Callable[["Epoch"], None] = lambda _: None,
    augmenter: Augmenter | None = None,
    start: Start | None = None,
    checkpoint: Path | None = None,
) -> FittedNetwork:
    """Trains until the validation loss has not fallen for `trainer.patience` epochs; restores the best epoch.

    Where nothing but the head learns, each slice is embedded once, and the head is trained on that.

    Args:
        model: a Network class with its arguments.
        train, validation: slices of one length; nothing of the test part is seen.
        n_classes: of the experiment.
        trainer: the settings.
        seed: of weights, batches and dropout.
        cache: folder that remembers which number format is fastest here.
        on_epoch: is told each epoch's record.
        augmenter: what is done to the training slices, if anything.
        start: weights to begin with in the place of random ones.
        checkpoint: file in which the training is kept, and from which a killed one goes on as if nothing had been; it
            stays there. Several devices keep none: killed, they begin anew.
    """
    with collector.paused():  # Lightning takes seconds, which no plan should
        from crnn_bench import costs, parallel, residency, training
        from crnn_bench.batches import SliceDataModule
        from crnn_bench.training import Classifier, EpochRecorder

    parallel.check(trainer.devices)
    recorder = EpochRecorder(len(train), on_epoch)
    network = build(model, train, n_classes, seed, start)
    costs_of_it = costs.of(network, train.n_bins, int(train.length[0]))
    trained: nn.Module = network
    if augmenter is None and _only_head_learns(network):
        numerics = PLAIN
        train, validation = (_embedded(network, slices) for slices in (train, validation))
        trained = nn.Sequential(nn.Flatten(), network.head).train()
    else:
        shape = (-(-trainer.batch_size // trainer.devices), train.n_bins, int(train.length[0]))

        def as_trained() -> Network:
            anew = build(model, train, n_classes, seed, start)
            if trainer.devices > 1:
                parallel.share_batch_norms(anew)
            return anew

        numerics = numerics_of(trainer.precision, as_trained, shape, cache)
        trained = network = numerics.lay_out(network)
    torch.manual_seed(derive(seed, "dropout"))
    place = "disk" if augmenter else residency.resolve(trainer.residency, [train, validation])
    data = SliceDataModule(
        train, validation, trainer.batch_size, trainer.num_workers, derive(seed, "batches"), augmenter, place
    )
    mark = _mark(trained, train, validation, trainer, numerics, seed, start)
    module = Classifier(copy.deepcopy(trained) if trainer.devices > 1 else trained, trainer)
    if trainer.devices > 1:
        parallel.share_batch_norms(module)
    arrays = _arrays(train, validation, augmenter) if place == "disk" else []
    with residency.at_random(arrays):
        kept = checkpoint if trainer.devices == 1 else None
        fault = training.train(module, data, trainer, numerics, recorder, kept, mark)
    trained.load_state_dict(module.network.state_dict())
    best = min(recorder.history, key=lambda epoch: epoch["validation_loss"])
    details = {
        "precision": numerics.name,
        "residency": place,
        "epochs": len(recorder.history),
        "best_epoch": int(best["epoch"]),
        "best_validation_loss": best["validation_loss"],
        **costs_of_it,
        "fit_seconds": recorder.seconds,
        "slices_per_second": float(np.median([epoch["slices_per_second"] for epoch in recorder.history])),
        "history": recorder.history,
    }
    if fault:
        details["remark"] = fault
    return FittedNetwork(network.eval(), details, start.heard if start else frozenset())


def _arrays(train: Slices, validation: Slices, augmenter: Augmenter | None) -> list[NDArray[np.floating]]:
    """All that training reads, in files or not."""
    altered = augmenter.training.forms.values() if augmenter else []
    return [*train.arrays, *validation.arrays, *chain.from_iterable(altered)]


def _mark(
    network: nn.Module,
    train: Slices,
    validation: Slices,
    trainer: Trainer,
    numerics: Numerics,
    seed: int,
    start: Start | None,
) -> str:
    """Hash of what decides a training, as far as a file of another one is to be told from its own."""
    weights = [(name, list(value.shape), str(value.dtype)) for name, value in network.state_dict().items()]
    heard = [[part.tracks, part.start.tolist(), part.label.tolist()] for part in (train, validation)]
    settings = plain({**asdict(trainer), "num_workers": 0, "residency": "auto"})
    begun = start.digest if start else ""
    return digest([torch.__version__, repr(network), weights, begun, heard, settings, numerics.name, seed])


def _only_head_learns(network: Network) -> bool:
    learned = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    return bool(network.frozen) and all(name.startswith("head.") for name in learned)


def _embedded(network: Network, slices: Slices) -> Slices:
    """The bottlenecks of slices as slices of one frame."""
    vectors = FittedNetwork(network, {}).embed(slices)
    each = np.arange(len(slices))
    return replace(
        slices,
        tracks=tuple(slices.tracks[track] for track in slices.track),
        arrays=list(vectors[:, None, :]),
        track=each,
        start=np.zeros_like(each),
        length=np.ones_like(each),
        columns=(),
    )
