"""Which of the trained models in a results folder is meant."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crnn_bench import plugins
from crnn_bench.bundles import ENDINGS, Bundle, load
from crnn_bench.errors import BenchError
from crnn_bench.models import Network
from crnn_bench.plugins import class_path


def best(paths: Iterable[Path]) -> Path | None:
    """The file of the first of `ranked`."""
    return next((bundle.path for bundle in ranked(paths)), None)


def ranked(paths: Iterable[Path]) -> list[Bundle]:
    """Models, the one with the best weighted F1 on validation songs first; on validation slices, where songs are even.

    A model that hears whole songs counts with the songs' score there; names decide between equals. Bundles of older
    versions tell no scores: networks among them come after all others, the one with the lowest validation loss first.
    """

    def order(bundle: Bundle) -> tuple[float, float, float, str]:
        scores, loss = bundle.about.get("validation", {}), bundle.about["validation_loss"]
        song = scores.get("song/f1", -1.0)
        return -song, -scores.get("slice/f1", song), math.inf if loss is None or scores else loss, bundle.path.name

    return sorted(map(load, paths), key=order)


def within(folder: Path) -> list[Path]:
    """The files of the models in a results folder.

    Raises:
        BenchError: there are none.
    """
    found = [path for path in folder.glob("models/*") if path.suffix in ENDINGS]
    if not found:
        raise BenchError(f"{folder} holds no trained model (models/*.pt or *.skops); run an experiment into it")
    return found


def _place(run: str) -> Path:
    place = Path(run).expanduser()
    if not place.exists():
        raise BenchError(f"{run}: no such results folder, nor a file of its models/")
    return place


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
    place = _place(run)
    if place.is_file():
        return place
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
