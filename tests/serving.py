"""A server of a toy experiment, started as its users start it: `from tests.serving import served` (and `toy_place`)."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from crnn_bench import cli
from tests.test_experiment import TINY, write_yaml

START_SECONDS = 120
MODELS = f"[{TINY}, KNN, LogisticRegression], seed: [0]"


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        url: its address, without a slash at the end.
        place: the results folder whose models it serves.
        temporary: in which all it writes has to be.
        pid: of its process.
    """

    url: str
    place: Path
    temporary: Path
    pid: int

    def __str__(self) -> str:
        return self.url


def children(pid: int) -> list[int]:
    """Of a process, by Linux's own list; threads that end meanwhile have none."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return found


def await_end(pids: list[int]) -> None:
    """Waits for processes that have no reason any more to live."""
    until = time.monotonic() + START_SECONDS
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, alive
        time.sleep(0.1)


@contextmanager
def server(place: Path, temporary: Path, *more: str) -> Iterator[Served]:
    """Starts `crnn-bench serve` on a free port, and ends it as a service manager does; nothing of it is left."""
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "crnn_bench", "serve", str(place), "--port", "0", *more]
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.search(r"http://\S+:\d+", said)
        assert address, f"expected the line with the address, got {said!r}"
        yield Served(address[0], place, temporary, process.pid)
    finally:
        workers = children(process.pid)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=START_SECONDS)
        assert process.returncode == 0
        assert list(temporary.iterdir()) == []
        await_end(workers)


@pytest.fixture(scope="session")
def toy_place(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Path:
    """The results folder of a CRNN, KNN and logistic regression on the tests' own music."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one run for all processes of a test session
        root = root.parent
    folder = root / "toy place"
    with FileLock(root / "toy place.lock"), pytest.MonkeyPatch.context() as patch:
        if not (folder / "run" / "report.html").is_file():
            folder.mkdir(exist_ok=True)
            patch.setenv("CRNN_BENCH_CACHE", str(folder / "cache"))
            yaml = write_yaml(folder / "toy.yaml", music, MODELS)
            assert cli.main(["run", str(yaml), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, toy_place: Path) -> Iterator[Served]:
    """A server of `toy_place`; `str(served)` or `served.url` is its address."""
    with server(toy_place, tmp_path_factory.mktemp("served")) as running:
        yield running
