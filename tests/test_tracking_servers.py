"""Eight processes claim the same cells at once, in every kind of store: no cell is run twice, and no number is lost."""

import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import mlflow
import pytest

from crnn_bench import tracking
from crnn_bench.claims import CELL_TAG, FinishedBefore, Taken
from crnn_bench.tracking import Tracker
from tests import stores
from tests.stores import MlflowServer

pytestmark = pytest.mark.slow
PROCESSES, CELLS, EPOCHS, METRICS = 8, 24, 20, 10
SECONDS_AWAY = 8


def claim_all(tracker: Tracker, number: int, parent: str, file: Path) -> None:
    """What each of the processes does: the cells in an order of its own, those that others are at once more later."""
    cells = list(range(CELLS))
    random.Random(number).shuffle(cells)
    while cells:
        cells = [cell for cell in cells if not run_cell(tracker, number, cell, parent, file)]
        time.sleep(0.1)


def run_cell(tracker: Tracker, number: int, cell: int, parent: str, file: Path) -> bool:
    """Whether the cell is finished; logs what a cell logs, and that it did."""
    try:
        with tracker.claim(f"cell {cell}", str(cell), {}, parent, claimant=str(number)) as run:
            run.log_dataset("music", "digest", "{}")  # each is the first at once, who would write it
            run.log_parameters({f"parameter {index}": cell for index in range(30)})
            for epoch in range(EPOCHS):
                run.log_epoch({f"metric {index}": cell + epoch / 100 for index in range(METRICS)}, epoch)
            run.log_metrics({f"score {index}": cell for index in range(100)})
            run.log_files(file, folder="files")
            run.log_json({"cell": cell}, "cell.json")
            time.sleep(0.2)
    except Taken:
        return False
    except FinishedBefore:
        return True
    with (file.parent / f"{number}.txt").open("a") as done:
        done.write(f"{cell}\n")
    return True


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[tuple[str, MlflowServer | None]]:
    if kind == "SQLite":
        yield f"sqlite:///{folder / 'mlflow.db'}", None
    elif kind == "server on SQLite":
        with stores.server(f"sqlite:///{folder / 'mlflow.db'}", folder) as server:
            yield server.uri, server
    else:
        with stores.postgres(folder) as database, stores.server(database, folder) as server:
            yield server.uri, server


@pytest.mark.parametrize("kind", ["SQLite", "server on SQLite", "server on PostgreSQL"])
def test_of_eight_writers_none_loses_a_number_or_runs_a_cell_twice(kind: str, tmp_path: Path) -> None:
    """The server on SQLite is killed in the middle, too, and comes back some seconds later."""
    if "PostgreSQL" in kind:
        pytest.importorskip("psycopg", reason="no psycopg here; pip install 'crnn-bench[postgresql]'")
        if not stores.POSTGRES:
            pytest.skip("no PostgreSQL here; apt-get install postgresql")
    file = tmp_path / "files" / "file.txt"
    file.parent.mkdir()
    file.write_text("x" * 20_000)
    with store_of(kind, tmp_path) as (uri, server):
        tracker = tracking.connect(uri, "eight writers")
        with tracker.parent("all", {}) as parent:
            processes = [
                get_context("spawn").Process(target=claim_all, args=(tracker, number, parent.run_id, file))
                for number in range(PROCESSES)
            ]
            for process in processes:
                process.start()
            if server and kind == "server on SQLite":
                while len(tracker.finished_all()) < 2:
                    time.sleep(0.1)
                server.kill()
                time.sleep(SECONDS_AWAY)
                server.start()
            for process in processes:
                process.join()
        assert [process.exitcode for process in processes] == [0] * PROCESSES
        check(tracker, parent.run_id, [path.read_text().split() for path in file.parent.glob("[0-9].txt")])


def check(tracker: Tracker, parent: str, done: list[list[str]]) -> None:
    """Each cell was run by one process, and its run holds everything once."""
    expected = [str(cell) for cell in range(CELLS)]
    assert sorted(chain(*done)) == sorted(expected)
    assert len(done) > 1, "one process did everything"
    client = mlflow.MlflowClient(tracker.uri)
    runs = client.search_runs([tracker.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    assert Counter(run.info.status for run in runs) == {"FINISHED": CELLS}
    assert {run.data.tags[CELL_TAG]: run.info.run_id for run in runs} == tracker.finished_all()
    assert sorted(tracker.finished_all()) == sorted(expected)
    for run in runs:
        cell = int(run.data.tags[CELL_TAG])
        assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["music"]
        assert run.data.params == {f"parameter {index}": str(cell) for index in range(30)}
        assert {name: run.data.metrics[name] for name in run.data.metrics if "score" in name} == {
            f"score {index}": cell for index in range(100)
        }
        for index in range(METRICS):
            history = client.get_metric_history(run.info.run_id, f"metric {index}")
            assert [(point.step, point.value) for point in history] == [(e, cell + e / 100) for e in range(EPOCHS)]
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["cell.json", "files"]
        assert [file.file_size for file in client.list_artifacts(run.info.run_id, "files")] == [20_000]


LOCK = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(23)
"""


def test_a_database_that_is_locked_for_longer_than_mlflow_waits_loses_nothing(tmp_path: Path) -> None:
    tracker = tracking.connect(f"sqlite:///{tmp_path / 'mlflow.db'}", "locked")
    words = [sys.executable, "-c", LOCK, str(tmp_path / "mlflow.db")]
    with tracker.claim("a cell", "cell", {}, "parent") as run:
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            assert other.stdout.readline() == "locked\n"
            run.log_metrics({"f1": 0.5})
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            assert database.execute("SELECT value FROM metrics").fetchall() == [(0.5,)]
    assert tracker.standing("cell") == "finished"
