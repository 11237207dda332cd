"""Runs → MLflow: an experiment of the same name, a parent run an invocation, a child run a cell."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow.entities import Metric, RunStatus

from crnn_bench.errors import BenchError
from crnn_bench.store import SERVERS, SQLITE, STORE_FAULTS, Store, be_quiet, greet, reason

CELL_TAG = "crnn_bench.cell"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # opens the dashboard on model training, not on chat
NOTE = "mlflow.note.content"
VIEW = "mlflow.sharedViewState."
SECONDS_BETWEEN_EPOCHS = 10.0  # a batch takes some 40 ms on SQLite, and should take less than 1 % of the fit
MOST_IN_BATCH = 1000  # MLflow's limit


@dataclass(frozen=True)
class Tracker:
    """An MLflow experiment that exists and answers.

    Attributes:
        uri: of the tracking store.
        experiment_id: MLflow's number.
    """

    uri: str
    experiment_id: str

    def finished(self, cell: str) -> str | None:
        """The id of the newest run that finished this cell, or `None`."""
        query = f"tags.`{CELL_TAG}` = '{cell}' and attributes.status = 'FINISHED'"
        newest = ["attributes.start_time DESC"]
        found = mlflow.MlflowClient(self.uri).search_runs([self.experiment_id], query, max_results=1, order_by=newest)
        return found[0].info.run_id if found else None

    @contextmanager
    def parent(self, name: str, tags: Mapping[str, str]) -> Iterator["Run"]:
        """The run of one invocation."""
        try:
            with self._run(name, tags) as run:
                yield run
        except STORE_FAULTS as error:
            raise BenchError(f"the tracking store {self.uri} fails: {reason(error)}") from None

    @contextmanager
    def child(self, name: str, cell: str, tags: Mapping[str, str]) -> Iterator["Run"]:
        """The run of one cell; it is FINISHED only if the block ends well, FAILED or KILLED otherwise."""
        with self._run(name, {CELL_TAG: cell, **tags}, nested=True) as run:
            yield run

    @contextmanager
    def _run(self, name: str, tags: Mapping[str, str], nested: bool = False) -> Iterator["Run"]:
        run = mlflow.start_run(experiment_id=self.experiment_id, run_name=name, nested=nested, tags=dict(tags))
        status, log = RunStatus.FAILED, Run(run.info.run_id)
        try:
            yield log
            status = RunStatus.FINISHED
        except KeyboardInterrupt:
            status = RunStatus.KILLED
            raise
        finally:
            log.flush()
            mlflow.end_run(RunStatus.to_string(status))

    def describe(self, text: str, views: Mapping[str, Any]) -> None:
        """Shows a text (Markdown) on the experiment's page, and shares views of it, as the dashboard itself does."""
        tags = {NOTE: text} | {f"{VIEW}{name}": json.dumps(view) for name, view in views.items()}
        for name, value in tags.items():
            mlflow.MlflowClient(self.uri).set_experiment_tag(self.experiment_id, name, value)

    def fetch(self, run_id: str, folders: Sequence[str], out: Path) -> None:
        """Downloads the files in some folders of a finished run to the same paths below `out`, each whole or not."""
        try:
            Store(self.uri).download(run_id, folders, out)
        except BenchError as error:
            raise BenchError(f"{error}; use --rerun") from None


class Run:
    """An open run.

    Args:
        run_id: MLflow's.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._waiting: list[Metric] = []
        self._sent = time.monotonic()

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """All parameters at once."""
        mlflow.log_params({name: str(value) for name, value in parameters.items()}, run_id=self.run_id)

    def log_epoch(self, metrics: Mapping[str, float], epoch: int) -> None:
        """An epoch's numbers; they are sent every ten seconds at most, so that short epochs do not wait for a store."""
        self._waiting += _metrics(metrics, epoch)
        if time.monotonic() - self._sent > SECONDS_BETWEEN_EPOCHS:
            self.flush()

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Numbers of the whole run, in one batch with the epochs that wait."""
        self._waiting += _metrics(metrics, 0)
        self.flush()

    def flush(self) -> None:
        """Sends what waits."""
        client, waiting = mlflow.MlflowClient(), self._waiting
        self._waiting, self._sent = [], time.monotonic()
        for first in range(0, len(waiting), MOST_IN_BATCH):
            client.log_batch(self.run_id, metrics=waiting[first : first + MOST_IN_BATCH])

    def describe(self, text: str) -> None:
        """Shows a text (Markdown) at the head of the run's page."""
        mlflow.MlflowClient().set_tag(self.run_id, NOTE, text)

    def log_dataset(self, name: str, digest: str, source: str) -> None:
        """Which tracks the run used, by name and digest."""
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        described = MetaDataset(CodeDatasetSource({"dataset": source}), name, digest)  # type: ignore[abstract]
        mlflow.log_input(described, context="benchmark")

    def log_files(self, *paths: Path, folder: str | None = None) -> None:
        """Files as artifacts, in a folder of the run."""
        for path in paths:
            mlflow.log_artifact(str(path), folder, run_id=self.run_id)

    def log_json(self, content: Any, name: str) -> None:
        """Plain data as a JSON artifact."""
        mlflow.log_dict(content, name, run_id=self.run_id)


def connect(uri: str, experiment: str) -> Tracker:
    """Opens the store, and makes the experiment where it is new.

    Args:
        uri: `sqlite:///…` or a server's address.
        experiment: its name.

    Raises:
        BenchError: no server answers, or the store refuses.
    """
    be_quiet()
    if uri.startswith(SERVERS):
        greet(uri)
    elif uri.startswith(SQLITE):
        Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    try:
        known = mlflow.get_experiment_by_name(experiment)
        number = known.experiment_id if known else mlflow.create_experiment(experiment, _artifacts(uri), tags=KIND)
    except STORE_FAULTS as error:
        raise BenchError(f"the tracking store {uri} refuses: {reason(error)}") from None
    if known and known.lifecycle_stage == "deleted":
        raise BenchError(f"experiment {experiment!r} was deleted in {uri}; restore it or rename yours")
    return Tracker(uri, number)


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(1000 * time.time())
    return [Metric(name, float(value), now, step) for name, value in values.items()]


def _artifacts(uri: str) -> str | None:
    """A SQLite store keeps its artifacts beside it; a server knows its own place."""
    database = uri.removeprefix(SQLITE)
    return (Path(database).resolve().parent / "artifacts").as_uri() if database != uri else None
