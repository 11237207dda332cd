"""Runs → MLflow: an experiment of the same name, a parent run an invocation, a child run a cell."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID

from crnn_bench.claims import CLAIMANT_TAG, Claims, open_run
from crnn_bench.errors import BenchError
from crnn_bench.store import (
    SERVERS,
    SQLITE,
    STORE_FAULTS,
    Store,
    StoreError,
    be_quiet,
    client,
    greet,
    patiently,
    reason,
)
from crnn_bench.terminal import shown

KIND = {"mlflow.experimentKind": "custom_model_development"}  # opens the dashboard on model training, not on chat
NOTE = "mlflow.note.content"
VIEW = "mlflow.sharedViewState."
SECONDS_BETWEEN_EPOCHS = 10.0  # a batch takes some 40 ms on SQLite, and should take less than 1 % of the fit


@dataclass(frozen=True)
class Tracker:
    """An MLflow experiment that exists and answers; it may be sent to other processes.

    Attributes:
        uri: of the tracking store.
        experiment_id: MLflow's number.
    """

    uri: str
    experiment_id: str
    _claims: Claims = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_claims", Claims(self.uri, self.experiment_id))

    def finished_all(self) -> dict[str, str]:
        """The id of the newest run that finished each cell, by the cell's identity."""
        return self._claims.finished()

    def standing(self, cell: str) -> str:
        """`finished`, `taken` (someone who lives is at it), or `free`.

        Someone on another machine who died without a word is found out by who asks again and again for 90 s.
        """
        return self._claims.standing(cell)

    def finished(self, cell: str) -> str:
        """The id of the newest run that finished a cell; nothing where none did."""
        return next((run.info.run_id for run in self._claims.look(cell)[0]), "")

    def release(self, claimant: str, words: str) -> None:
        """Frees what a claimant holds that is known to be dead, and notes how it died."""
        self._claims.release(claimant, words)

    @contextmanager
    def parent(self, name: str, tags: Mapping[str, str]) -> Iterator["Run"]:
        """The run of one invocation."""
        with self._faults_told():
            self._claims.bury()
            run = Run(self.uri, open_run(self.uri, self.experiment_id, name, tags))
            try:
                yield run
                run.flush()
            except BaseException as fault:
                self._claims.fail(run.run_id, fault)
                raise
            self._claims.end(run.run_id, "FINISHED")

    @contextmanager
    def claim(
        self,
        name: str,
        cell: str,
        tags: Mapping[str, str],
        parent_id: str,
        rerun: bool = False,
        claimant: str = "",
    ) -> Iterator["Run"]:
        """The run of one cell, which nobody else runs meanwhile (see `claims`).

        It is FINISHED only if the block ends well and the claim still stands; FAILED or KILLED otherwise.

        Args:
            name: of the run.
            cell: its identity.
            tags: of the run.
            parent_id: of the invocation's run.
            rerun: runs a finished cell, too, unless this invocation finished it.
            claimant: a word for `release`.

        Raises:
            Taken: someone else is at the cell; ask `standing` later. Before the block.
            FinishedBefore: it is finished. Before the block.
            Lost: this process was taken for dead, and the cell is another's. After the block.
            StoreError: the store fails, or stays away.
        """
        with self._faults_told():
            told = {**tags, MLFLOW_PARENT_RUN_ID: parent_id, CLAIMANT_TAG: claimant}
            with self._claims.take(cell, name, told, rerun) as claim:
                run = Run(self.uri, claim.run_id, claim.confirm)
                try:
                    yield run
                except Exception:
                    run.flush_now()
                    raise
                run.flush()

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except STORE_FAULTS as error:
            refused = getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"  # of this run: others may go on
            kind, verb = (BenchError, "refuses") if refused else (StoreError, "fails")
            raise kind(f"the tracking store {shown(self.uri)} {verb}: {reason(error)}") from None

    def describe(self, text: str, views: Mapping[str, Any]) -> None:
        """Shows a text (Markdown) on the experiment's page, and shares views of it, as the dashboard itself does."""
        tags = {NOTE: text} | {f"{VIEW}{name}": json.dumps(view) for name, view in views.items()}
        for name, value in tags.items():
            patiently(partial(client(self.uri).set_experiment_tag, self.experiment_id, name, value), self.uri)

    def fetch(self, run_id: str, folders: Sequence[str], out: Path) -> None:
        """Downloads the files in some folders of a finished run to the same paths below `out`, each whole or not."""
        try:
            Store(self.uri).download(run_id, folders, out)
        except BenchError as error:
            raise BenchError(f"{error}; use --rerun") from None


class Run:
    """An open run; it waits for a store that is away.

    Args:
        uri: of the store.
        run_id: MLflow's.
        confirm: of its claim.
    """

    def __init__(self, uri: str, run_id: str, confirm: Callable[[], None] | None = None) -> None:
        self.uri, self.run_id = uri, run_id
        self._confirm = confirm
        self._waiting: list[Metric] = []
        self._parameters: list[Param] = []
        self._sent = time.monotonic()

    def confirm(self) -> None:
        """Makes sure, before something is stored under the cell's name, that the claim still stands.

        Raises:
            Lost: this process was taken for dead.
        """
        if self._confirm:
            self._confirm()

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """All parameters at once, together with the metrics that follow."""
        self._parameters += [Param(name, str(value)) for name, value in parameters.items()]

    def log_epoch(self, metrics: Mapping[str, float], epoch: int) -> None:
        """An epoch's numbers; they are sent every ten seconds at most, so that short epochs do not wait for a store.

        Nor does training wait for one that is away: they are sent later.
        """
        self._waiting += _metrics(metrics, epoch)
        if time.monotonic() - self._sent > SECONDS_BETWEEN_EPOCHS:
            self.flush_now()

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Numbers of the whole run, in one batch with the epochs that wait."""
        self._waiting += _metrics(metrics, 0)
        self.flush()

    def flush(self) -> None:
        """Sends what waits."""
        self._ask(self._send)

    def flush_now(self) -> None:
        """Sends what waits, if the store answers."""
        self._sent = time.monotonic()
        try:
            patiently(self._send, self.uri, 0)
        except StoreError:
            return

    def describe(self, text: str) -> None:
        """Shows a text (Markdown) at the head of the run's page."""
        self._ask(lambda: client(self.uri).set_tag(self.run_id, NOTE, text))

    def log_dataset(self, name: str, digest: str, source: str) -> None:
        """Which tracks the run used, by name and digest."""
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        described = MetaDataset(CodeDatasetSource({"dataset": source}), name, digest)  # type: ignore[abstract]
        used = DatasetInput(described._to_mlflow_entity(), [InputTag(MLFLOW_DATASET_CONTEXT, "benchmark")])
        self._ask(lambda: client(self.uri).log_inputs(self.run_id, [used]))

    def log_files(self, *paths: Path, folder: str | None = None) -> None:
        """Files as artifacts, in a folder of the run."""
        for path in paths:
            self._ask(lambda path=path: client(self.uri).log_artifact(self.run_id, str(path), folder))  # type: ignore[misc]

    def log_json(self, content: Any, name: str) -> None:
        """Plain data as a JSON artifact."""
        self._ask(lambda: client(self.uri).log_dict(self.run_id, content, name))

    def _send(self) -> None:
        waiting, parameters = list(self._waiting), list(self._parameters)
        client(self.uri).log_batch(self.run_id, waiting, parameters)
        self._sent = time.monotonic()
        del self._waiting[: len(waiting)], self._parameters[: len(parameters)]

    def _ask(self, question: Callable[[], Any]) -> None:
        patiently(question, self.uri)


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
        with _one_at_a_time(uri):
            known = mlflow.get_experiment_by_name(experiment)
            number = known.experiment_id if known else _make(uri, experiment)
    except STORE_FAULTS as error:
        raise BenchError(f"the tracking store {shown(uri)} refuses: {reason(error)}") from None
    if known and known.lifecycle_stage == "deleted":
        raise BenchError(f"experiment {experiment!r} was deleted in {shown(uri)}; restore it or rename yours")
    return Tracker(uri, number)


@contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Of those who open a new SQLite store at once, one makes its tables while the others wait."""
    if not uri.startswith(SQLITE) or os.name != "posix":
        yield
        return
    import fcntl

    folder = os.open(Path(uri.removeprefix(SQLITE)).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _make(uri: str, experiment: str) -> str:
    """Makes an experiment, unless somebody else has just done so; its number."""
    try:
        return str(mlflow.create_experiment(experiment, _artifacts(uri), tags=KIND))
    except MlflowException as error:
        made = mlflow.get_experiment_by_name(experiment)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or not made:
            raise
        return str(made.experiment_id)


def existing(uri: str, experiment: str) -> Tracker | None:
    """Opens the store without making anything; `None` where there is no such experiment yet."""
    be_quiet()
    if uri.startswith(SERVERS):
        greet(uri)
    elif uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():  # MLflow would make an empty one
        return None
    try:
        known = client(uri).get_experiment_by_name(experiment)
    except STORE_FAULTS as error:
        raise BenchError(f"the tracking store {shown(uri)} refuses: {reason(error)}") from None
    return Tracker(uri, known.experiment_id) if known else None


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(1000 * time.time())
    return [Metric(name, float(value), now, step) for name, value in values.items()]


def _artifacts(uri: str) -> str | None:
    """A SQLite store keeps its artifacts beside it; a server knows its own place."""
    database = uri.removeprefix(SQLITE)
    return (Path(database).resolve().parent / "artifacts").as_uri() if database != uri else None
