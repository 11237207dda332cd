"""Trained models as files of their own: what they learned, and all that is needed to hear with them or train on."""

import hashlib
import json
import zipfile
import zlib
from _pickle import UnpicklingError  # only its name: nothing but tensors and text is ever unpickled
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crnn_bench import plugins
from crnn_bench.cells import Cell
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.models import Network
from crnn_bench.plugins import Choice, plain
from crnn_bench.schema import checked
from crnn_bench.whole import replacing

if TYPE_CHECKING:  # scikit-learn takes a second to import, which no network needs
    from sklearn.base import BaseEstimator

    from crnn_bench.baselines import Baseline

HEARS = {"name", "model", "features", "clip_seconds", "n_bins", "n_frames", "n_classes", "classes"}
TOLD = HEARS | {"heard", "model_seed", "parameters", "validation_loss"}  # `about` holds: to be carried on, to be found
ENDINGS = (".pt", ".skops")  # of networks, of baselines
ABOUT = "about.json"  # beside the estimator that skops wrote
SCORES = ("song/f1", "slice/f1", "song/accuracy", "slice/accuracy")  # on validation songs, as `about` keeps them
ARCHIVE_FAULTS = (EOFError, zipfile.BadZipFile, zlib.error)
FAULTS = (RuntimeError, ValueError, TypeError, LookupError, UnpicklingError, *ARCHIVE_FAULTS)  # of files
TRUSTED = {  # what estimators of the baselines hold, besides what skops knows by itself; each was looked at
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
}


@dataclass(frozen=True)
class Bundle:
    """A trained model.

    Attributes:
        path: of its file.
        about: plain data, as `describe` gives it.
    """

    path: Path
    about: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """Hash of the file; the same network, saved again, has the same."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    @cached_property
    def feature(self) -> Feature:
        """What the model hears, built."""
        feature: Feature = self._choice("features", Feature).build()
        return feature

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


@dataclass(frozen=True)
class NetworkBundle(Bundle):
    """A trained network.

    Attributes:
        state_dict: the weights of the best epoch, by name; they stay on disk until they are used.
    """

    state_dict: Mapping[str, Tensor]

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


@dataclass(frozen=True)
class BaselineBundle(Bundle):
    """A fitted baseline."""

    @cached_property
    def baseline(self) -> "Baseline":
        """How it summarises what it hears; a class of one's own is imported, as a network's."""
        from crnn_bench.baselines import Baseline

        baseline: Baseline = self._choice("model", Baseline).build()
        return baseline

    @cached_property
    def estimator(self) -> "BaseEstimator":
        """The fitted estimator, of types that are known or were imported with the baseline; no pickle.

        Raises:
            BenchError: the file is damaged, or holds another type.
        """
        import skops.io

        own = ("crnn_bench.baselines.", f"{type(self.baseline).__module__}.")
        try:
            others = skops.io.get_untrusted_types(file=self.path)
            unknown = [name for name in others if name not in TRUSTED and not name.startswith(own)]
            if unknown:
                raise BenchError(f"{self.path} holds {unknown[0]}, which no estimator of a baseline needs; not opened")
            return skops.io.load(self.path, trusted=others)
        except (*plugins.FAULTS, ImportError, *ARCHIVE_FAULTS) as error:
            raise BenchError(f"{self.path}: its estimator cannot be read: {' '.join(str(error).split())}") from None


def describe(
    cell: Cell, record: Mapping[str, Any], heard: Iterable[str], scores: Mapping[str, float]
) -> dict[str, Any]:
    """What a bundle says of its model, in plain data.

    Args:
        cell: that trained it.
        record: of the cell's result.
        heard: content hashes of the training and validation tracks, so that a later user can prove what it never heard.
        scores: on its validation songs, by which the best of a folder is found.
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
        "validation_loss": record.get("best_validation_loss"),
        "validation": {name: scores[name] for name in SCORES if name in scores},
        "heard": sorted(set(heard)),
    }


def path_of(out: Path, name: str, ending: str = ".pt") -> Path:
    """Where a cell's network is, or its baseline (`.skops`)."""
    return out / "models" / f"{name}{ending}"


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


def save_baseline(path: Path, estimator: "BaseEstimator", about: Mapping[str, Any]) -> None:
    """Writes a bundle of a baseline likewise, without a pickle: skops' archive with one more file in it.

    Args:
        path: of the file.
        estimator: fitted.
        about: plain data, as `describe` gives it, with the `temperature`.

    Raises:
        BenchError: the estimator holds what is no data, an open file, say.
    """
    import skops.io

    with replacing(path) as part:
        try:
            skops.io.dump(estimator, part, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        except plugins.FAULTS as error:
            fault = f"an estimator of {about['model']['class_path']} cannot be stored: {' '.join(str(error).split())}"
            raise BenchError(f"{fault}; let it hold arrays, numbers and text alone") from None
        with zipfile.ZipFile(part, "a", zipfile.ZIP_DEFLATED) as file:
            file.writestr(ABOUT, json.dumps(about, sort_keys=True, ensure_ascii=False))


def load(path: Path) -> Bundle:
    """Opens a bundle of either kind; runs nothing that is in it.

    Raises:
        BenchError: the file is absent, damaged or no bundle.
    """
    if not path.is_file():
        raise BenchError(f"{path}: no such file; a run leaves its models in models/ of its results folder")
    try:
        if not zipfile.is_zipfile(path):
            if path.suffix not in ENDINGS:
                raise BenchError(f"{path} is no model; give a results folder, or a file of its models/ (*.pt, *.skops)")
            raise ValueError("it is cut, or of another kind")
        with zipfile.ZipFile(path) as file:
            if ABOUT in file.namelist():
                return BaselineBundle(path, _complete(json.loads(file.read(ABOUT)), "temperature"))
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return NetworkBundle(path, _complete(json.loads(content["about"])), dict(content["state_dict"]))
    except FAULTS as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise BenchError(f"{path} is no whole model bundle ({reason}); run its experiment again with --rerun") from None


def load_network(path: Path) -> NetworkBundle:
    """Opens a bundle of a network.

    Raises:
        BenchError: it is a baseline's, or as `load`.
    """
    bundle = load(path)
    if not isinstance(bundle, NetworkBundle):
        raise BenchError(f"{path} is a baseline, and has no weights; give a network's file (models/*.pt)")
    return bundle


def _complete(about: dict[str, Any], *more: str) -> dict[str, Any]:
    if absent := sorted((TOLD | set(more)) - set(about)):
        raise ValueError(f"it does not tell {', '.join(absent)}")
    return about
