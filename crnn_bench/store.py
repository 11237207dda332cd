"""What an MLflow store keeps, to be found and fetched."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # of a server that is away: see `patiently`
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from sqlalchemy.exc import SQLAlchemyError

from crnn_bench.errors import BenchError
from crnn_bench.terminal import say, shown

SERVER_ANSWERS_WITHIN_SECONDS = 5
PATIENCE_SECONDS = 300.0
STORE_FAULTS = (MlflowException, SQLAlchemyError, requests.RequestException)
UNFINISHED = ("RUNNING", "SCHEDULED")
SERVERS = ("http://", "https://")
SQLITE = "sqlite:///"
PASSING = (408, 429, 500, 502, 503, 504)  # what a server answers that may answer otherwise soon
CLASHES = ("UNIQUE constraint failed", "UniqueViolation")  # SQLite's words, PostgreSQL's

Answer = TypeVar("Answer")

_given_up: set[str] = set()


class StoreError(BenchError):
    """The tracking store fails, or has not answered for longer than it is waited for."""


@dataclass(frozen=True)
class Store:
    """A tracking store that answers, to read from.

    Attributes:
        uri: of the store.
    """

    uri: str

    def run_of(self, address: str) -> str:
        """The id of the run that made a registered model.

        Args:
            address: `models:/NAME/VERSION` or `models:/NAME@ALIAS`.
        """
        name, at, alias = address.removeprefix("models:/").partition("@")
        name, _, version = (name, "", "") if at else name.rpartition("/")
        if not name or not (alias or version):
            raise BenchError(f"{address}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
        with self._told_as_one_line(address):
            client = mlflow.MlflowClient(self.uri)
            found = client.get_model_version_by_alias(name, alias) if at else client.get_model_version(name, version)
        if not found.run_id:
            raise BenchError(f"{address} in {shown(self.uri)} was not made by a run of crnn-bench")
        return str(found.run_id)

    def parent_of(self, run_id: str) -> str | None:
        """The run of the whole experiment of a cell; `None` of one that is this itself.

        Raises:
            BenchError: there is no such run, or it is not finished.
        """
        with self._told_as_one_line(f"run {run_id}"):
            run = mlflow.MlflowClient(self.uri).get_run(run_id)
        if run.info.status in UNFINISHED:
            raise BenchError(f"run {run_id} in {shown(self.uri)} is still {run.info.status}; wait for its end")
        return run.data.tags.get(MLFLOW_PARENT_RUN_ID)

    def download(self, run_id: str, names: Sequence[str], out: Path) -> None:
        """Puts files of a run, and the files in folders of it, at the same paths below `out`, each whole or not.

        Those that the run does not have are left out.
        """
        try:
            client = mlflow.MlflowClient(self.uri)
            there = client.list_artifacts(run_id)
            files = [found.path for found in there if found.path in names and not found.is_dir]
            folders = [found.path for found in there if found.path in names and found.is_dir]
            files += [found.path for folder in folders for found in client.list_artifacts(run_id, folder)]
            for artifact in files:
                (out / artifact).parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=out) as part:
                    Path(client.download_artifacts(run_id, artifact, part)).replace(out / artifact)
        except (*STORE_FAULTS, OSError) as error:
            raise BenchError(f"cannot fetch the files of run {run_id} ({reason(error)})") from None

    @contextmanager
    def _told_as_one_line(self, what: str) -> Iterator[None]:
        try:
            yield
        except STORE_FAULTS as error:
            raise BenchError(f"{what} cannot be read from {shown(self.uri)}: {reason(error)}") from None


def opened(uri: str) -> Store:
    """Opens a store that is there already.

    Args:
        uri: `sqlite:///…` or a server's address.

    Raises:
        BenchError: no server answers, or there is no such database.
    """
    be_quiet()
    database = uri.removeprefix(SQLITE)
    if uri.startswith(SERVERS):
        greet(uri)
    elif database != uri and not Path(database).is_file():  # MLflow would make an empty one
        raise BenchError(f"{shown(uri)}: there is no such database; a run leaves its mlflow.db in its results folder")
    return Store(uri)


@cache
def client(uri: str) -> mlflow.MlflowClient:
    """The way to a store, one a process."""
    be_quiet()
    return mlflow.MlflowClient(uri)


def patiently(ask: Callable[[], Answer], uri: str, seconds: float | None = None) -> Answer:
    """Asks a store, and again while it is away.

    MLflow itself tries again for a few seconds, in silence. What is asked for may be done twice, since an answer can
    get lost: a batch of metrics is stored once all the same, by their names, steps, times and values.

    Args:
        ask: the question.
        uri: of the store.
        seconds: of patience; five minutes without it, which are waited in words. A store that was waited for in vain
            is not waited for again.

    Raises:
        StoreError: the store stays away.
        MlflowException: it refuses.
    """
    since, pause = None, 0.2
    while True:
        try:
            answer = ask()
            _given_up.discard(uri)
            return answer
        except STORE_FAULTS as error:
            if not _may_pass(error):
                raise
            since = since or time.monotonic()
            if time.monotonic() - since >= _patience(uri, seconds):
                if seconds is None:
                    give_up(uri)
                waited = f"{time.monotonic() - since:.0f} s"
                raise StoreError(
                    f"the tracking store {shown(uri)} does not answer for {waited}: {reason(error)}"
                ) from None
        if pause == 1.6 and seconds is None:  # some seconds are not worth a word
            say(f"the tracking store {shown(uri)} does not answer; waiting")
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, 5.0)


def give_up(uri: str) -> None:
    """A store was waited for in vain, here or in a worker: until it answers, nobody waits for it again."""
    _given_up.add(uri)


def _patience(uri: str, seconds: float | None) -> float:
    if uri in _given_up:
        return 0.0
    return PATIENCE_SECONDS if seconds is None else seconds


def _may_pass(error: BaseException) -> bool:
    """Whether the same question may be answered later.

    There is no server, or it is too busy; a database is locked; or two wrote the same new row, a dataset's, at once,
    which MLflow refuses to the later one, and would find there if it looked again.
    """
    behind = error.__cause__ or error.__context__
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in PASSING
    if isinstance(error, requests.RequestException) or isinstance(behind, requests.RequestException):
        return True
    return any(words in str(error) for words in ("database is locked", *CLASHES)) or (
        isinstance(error, MlflowException)
        and error.error_code == "TEMPORARILY_UNAVAILABLE"
        and "(sqlite3." not in str(error)
    )


def be_quiet() -> None:
    """Keeps MLflow's remarks out of the output."""
    import logging

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs, at length, what it raises


def reason(error: Exception) -> str:
    """The database's own words in a fault's many lines, or the first line."""
    lines = str(error).splitlines() or [type(error).__name__]
    return next((line for line in lines if line.startswith("(sqlite3.")), lines[0])


def greet(uri: str) -> None:
    """One quick question to a server, since MLflow itself would try for minutes."""
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=SERVER_ANSWERS_WITHIN_SECONDS)
    except requests.RequestException:
        raise BenchError(
            f"no tracking server answers at {shown(uri)}; start one with `mlflow server`, or give no --tracking-uri "
            "and no MLFLOW_TRACKING_URI"
        ) from None
