"""Networks as files of their own: the weights, and all that is needed to hear with them or to train on from them."""

import hashlib
import json
import zipfile
from _pickle import UnpicklingError  # only its name: nothing but tensors and text is ever unpickled
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crnn_bench import plugins
from crnn_bench.cells import Cell
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.models import Network
from crnn_bench.plugins import Choice, class_path, plain
from crnn_bench.schema import checked
from crnn_bench.whole import replacing

HEARS = {"name", "model", "features", "clip_seconds", "n_bins", "n_frames", "n_classes", "classes"}
TOLD = HEARS | {"heard", "model_seed", "parameters", "validation_loss"}  # `about` holds: to be carried on, to be found


@dataclass(frozen=True)
class Bundle:
    """A trained network.

    Attributes:
        path: of its file.
        state_dict: the weights of the best epoch, by name; they stay on disk until they are used.
        about: plain data, as `describe` gives it.
    """

    path: Path
    state_dict: Mapping[str, Tensor]
    about: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """Hash of the file; the same network, saved again, has the same."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    @cached_property
    def feature(self) -> Feature:
        """What the network hears, built."""
        feature: Feature = self._choice("features", Feature).build()
        return feature

    @cached_property
    def network(self) -> Network:
        """The network in evaluation mode, built from its class and filled with the weights.

        The class is imported by its path, and importing runs its file: open no stranger's bundle that names a class of
        theirs. The weights themselves can run nothing.

        Raises:
            BenchError: the class is not to be found, has changed, or does not fit the weights.
        """
        choice, about = self._choice("model", Network), self.about
        try:
            network: Network = choice.build(**{name: about[name] for name in Network.given_by_data})
            network.load_state_dict(self.state_dict)
        except (BenchError, *plugins.FAULTS) as error:
            reason = " ".join(str(error).split())
            raise BenchError(f"{self.path}: {choice.label} of today does not fit its weights: {reason}") from None
        return network.eval()

    def _choice(self, what: str, family: type) -> Choice:
        """The class and arguments of the model or the features, checked as a YAML's."""
        described = self.about[what]
        try:
            cls = plugins.find(described["class_path"], family)
            by_data = getattr(cls, "given_by_data", ())
            known = {name: parameter for name, parameter in plugins.parameters(cls).items() if name not in by_data}
            for name in described["init_args"]:
                if name not in known:
                    raise BenchError(f"{cls.__name__}: {plugins.unknown(name, list(known))}")
            taken = {name: checked(known[name].annotation, value) for name, value in described["init_args"].items()}
        except (BenchError, ValueError) as error:
            raise BenchError(f"{self.path}: its {what} cannot be built: {error}") from None
        return Choice(cls, taken)


def describe(cell: Cell, record: Mapping[str, Any], heard: Iterable[str]) -> dict[str, Any]:
    """What a bundle says of its network, in plain data.

    Args:
        cell: that trained it.
        record: of the cell's result.
        heard: content hashes of the training and validation tracks, so that a later user can prove what it never heard.
    """
    return {
        "name": record["name"],
        "identity": record["identity"],
        "dataset": record["dataset"],
        "model": cell.model.describe(),
        "features": cell.features.describe(),
        "clip_seconds": cell.clip_seconds,
        "n_bins": record["n_bins"],
        "n_frames": record["n_frames"],
        "n_classes": len(record["classes"]),
        "classes": list(record["classes"]),
        "model_seed": cell.model_seed,
        "parameters": plain(cell.parameters),
        "validation_loss": record["best_validation_loss"],
        "heard": sorted(set(heard)),
    }


def path_of(out: Path, name: str) -> Path:
    """Where a cell's network is."""
    return out / "models" / f"{name}.pt"


def save(path: Path, network: Network, about: Mapping[str, Any]) -> None:
    """Writes a bundle, whole or not at all.

    Args:
        path: of the file.
        network: trained.
        about: plain data, as `describe` gives it.
    """
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    content = {"state_dict": weights, "about": json.dumps(about, sort_keys=True, ensure_ascii=False)}
    with (
        replacing(path) as part,
        part.open("wb") as file,
    ):  # given a path, torch.save would write its name into the file
        torch.save(content, file)


def load(path: Path) -> Bundle:
    """Opens a bundle; runs nothing that is in it.

    Raises:
        BenchError: the file is absent, damaged or no bundle.
    """
    if not path.is_file():
        raise BenchError(f"{path}: no such file; a run leaves its networks in models/ of its results folder")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is cut, or of another kind")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        about = json.loads(content["about"])
        if absent := sorted(TOLD - set(about)):
            raise ValueError(f"it does not tell {', '.join(absent)}")
        return Bundle(path, dict(content["state_dict"]), about)
    except (RuntimeError, ValueError, TypeError, LookupError, EOFError, UnpicklingError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise BenchError(f"{path} is no whole model bundle ({reason}); run its experiment again with --rerun") from None


def find(run: str, model: str | None = None, seed: int | None = None, alike: Mapping[str, Any] | None = None) -> Path:
    """Names the file of a trained network.

    Args:
        run: a bundle, or a results folder.
        model: which class of network is wanted, by a short name or class path; any, where none is given.
        seed: is preferred where the folder has it.
        alike: parameters that are preferred next, the first before the second: `{"split": …, "clip_seconds": …}`; of
            several networks that are left, the one with the lowest validation loss counts.

    Raises:
        BenchError: there is none; says what there is.
    """
    place = Path(run).expanduser()
    if place.is_file():
        return place
    if not place.is_dir():
        raise BenchError(f"{run}: no such results folder, nor a file of its models/")
    there = {path: load(path).about for path in sorted(place.glob("models/*.pt"))}
    if not there:
        raise BenchError(f"{run} holds no trained network (models/*.pt); run a network's experiment into it")
    wanted = class_path(plugins.find(model, Network)) if model else None
    fitting = {path: about for path, about in there.items() if wanted in (None, about["model"]["class_path"])}
    if not fitting:
        others = sorted({_as_written(about["model"]["class_path"]) for about in there.values()})
        raise BenchError(f"{run} holds no {model}, but {', '.join(others)}; give another folder or model")
    same = {path: about for path, about in fitting.items() if about["model_seed"] == seed} or fitting

    def order(path: Path) -> tuple[list[bool], float, str]:
        unlike = [same[path]["parameters"].get(name) != value for name, value in (alike or {}).items()]
        return unlike, same[path]["validation_loss"], path.name

    return min(same, key=order)


def _as_written(path: str) -> str:
    """A class path as a YAML names the class: ours by its name, one's own in full."""
    return path.rpartition(".")[2] if path.startswith(f"{__name__.partition('.')[0]}.") else path
