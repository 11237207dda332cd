"""What a user calls a model → its place on disk; what MLflow keeps is fetched once."""

import csv
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from crnn_bench.errors import BenchError

if TYPE_CHECKING:  # MLflow takes a second to import
    from crnn_bench.store import Store

REGISTERED = "models:/"
RUN_ID = re.compile("[0-9a-f]{32}")
OF_CELLS = ("models", "songs")  # folders
TABLES = ("summary.csv", "results.csv", "experiment.json")  # of the whole experiment
CELLS = "results.csv"


def place(model: str, tracking_uri: str | None) -> Path:
    """A results folder or a bundle's file.

    Args:
        model: a results folder, a bundle's file, a run's id (of a cell: its model; of an experiment: those of all its
            cells), `models:/NAME/VERSION` or `models:/NAME@ALIAS`. What is no file is fetched into the cache, in the
            shape of a results folder.
        tracking_uri: of the MLflow store of a run or registered model; `MLFLOW_TRACKING_URI` without it.

    Raises:
        BenchError: there is no such model, or no such store.
    """
    found = Path(model).expanduser()
    if found.exists():
        return found
    if model.startswith(REGISTERED):
        store = _store(model, tracking_uri)
        run_id = store.run_of(model)
        return _kept(run_id) or _fetched(run_id, store)
    if RUN_ID.fullmatch(model):
        return _kept(model) or _fetched(model, _store(model, tracking_uri))
    raise BenchError(f"{model}: no such results folder, nor a file of its models/, a run's id or models:/NAME/VERSION")


def cache() -> Path:
    """`models` in `$CRNN_BENCH_CACHE`, or in `~/.cache/crnn_bench`."""
    return Path(os.environ.get("CRNN_BENCH_CACHE", "~/.cache/crnn_bench")).expanduser() / "models"


def _kept(run_id: str) -> Path | None:
    """Where an earlier call has put a run; a finished one does not change."""
    folder = cache() / run_id
    return folder if folder.is_dir() else None


def _store(model: str, tracking_uri: str | None) -> "Store":
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise BenchError(
            f"{model} is in no folder here; name its MLflow store by --tracking-uri or MLFLOW_TRACKING_URI"
        )
    from crnn_bench import store

    return store.opened(uri)


def _fetched(run_id: str, store: "Store") -> Path:
    """Downloads a run, whole or not at all."""
    folder = cache() / run_id
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as made:
        part = Path(made) / "run"
        part.mkdir()
        _download(run_id, store, part)
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    return folder


def _download(run_id: str, store: "Store", out: Path) -> None:
    """A cell's model, songs and its experiment's tables; of an experiment, those of every cell in its tables."""
    parent = store.parent_of(run_id)
    store.download(parent or run_id, TABLES, out)
    for cell in [run_id] if parent else _cells(out):
        store.download(cell, OF_CELLS, out)
    if not any((out / "models").glob("*")):
        raise BenchError(f"run {run_id} in {store.uri} has no trained models; give a run of an experiment or of a cell")


def _cells(out: Path) -> list[str]:
    """Runs of an experiment's finished cells, those of earlier invocations too, as its table tells."""
    path = out / CELLS
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row["run_id"] for row in csv.DictReader(file) if row.get("run_id")]
