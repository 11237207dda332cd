"""Engines: one battery for all; the death of a worker, Ctrl-C and the loss of a machine where there can be any."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from crnn_bench import engines
from crnn_bench.engines import Engine, MachineDied, Outcome, Unforeseen, WorkerDied, carry_out
from crnn_bench.errors import BenchError

ROOT = Path(__file__).parents[1]


def square(task: int, _: str) -> int:
    return task**2


def when(_: int, __: str) -> tuple[float, float]:
    begun = time.time()
    time.sleep(0.05)
    return begun, time.time()


def who(_: int, claimant: str) -> tuple[str, int]:
    return claimant, os.getpid()


def fail(task: int, _: str) -> int:
    if task == 2:
        raise BenchError("two is refused; take another")
    if task == 3:
        raise ValueError("three was not foreseen")
    return task


def count(task: tuple[Path, int], _: str) -> int:
    """Notes each attempt, and dies as often as its task says."""
    folder, deaths = task
    attempts = len(list(folder.glob(f"{deaths}-*")))
    (folder / f"{deaths}-{attempts}").touch()
    if attempts < deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return attempts + 1


def wait_long(task: Path, _: str) -> None:
    """Leaves a word when it begins, and another when it is interrupted."""
    (task / f"begun-{os.getpid()}").touch()
    try:
        for _ in range(600):
            time.sleep(0.1)  # Ray interrupts between two steps of Python, and not within one
    except KeyboardInterrupt:
        (task / f"interrupted-{os.getpid()}").touch()
        raise


def threads(_: int, __: str) -> tuple[int, str]:
    import torch

    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


@pytest.fixture(scope="module", params=["local", "processes", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "ray":
        pytest.importorskip("ray", reason="no Ray here; pip install 'crnn-bench[ray]'")
    with engines.of(request.param, workers=2, cpus=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def processes() -> Iterator[Engine]:
    with engines.of("processes", workers=2, cpus=1) as opened:
        yield opened


def answers(outcomes: Iterator[Outcome[int, int]]) -> dict[int, int | None]:
    return {outcome.task: outcome.answer for outcome in outcomes}


@pytest.mark.parametrize("name", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_stopping_interrupts_what_runs_and_begins_nothing_else(name: str, tmp_path: Path) -> None:
    if name == "ray":
        pytest.importorskip("ray", reason="no Ray here; pip install 'crnn-bench[ray]'")
    dead: list[Path] = []
    with engines.of(name, workers=1, cpus=1) as opened, ThreadPoolExecutor(1) as other:
        tasks = [tmp_path / "a", tmp_path / "b"]
        for task in tasks:
            task.mkdir()
        ended = other.submit(lambda: list(carry_out(opened, wait_long, tasks, lambda task, *_: dead.append(task))))
        while not list(tasks[0].iterdir()):
            time.sleep(0.05)
        opened.stop()
        with pytest.raises((KeyboardInterrupt, BaseException)):
            ended.result()
    assert len(list(tasks[0].glob("interrupted-*"))) == 1
    assert list(tasks[1].iterdir()) == []
    (begun,) = tasks[0].glob("begun-*")
    pid = int(begun.name.partition("-")[2])
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists(), "nothing is left running"


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    """In a process of its own: Ray's client is not quite closed after it has failed."""
    pytest.importorskip("ray", reason="no Ray here; pip install 'crnn-bench[ray]'")
    command = [sys.executable, "-m", "crnn_bench", "demo", "--engine", "ray://127.0.0.1:1", "--out", tmp_path / "out"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith("crnn-bench: no Ray cluster answers at ray://127.0.0.1:1 (")
    assert ran.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_cluster_whose_server_for_a_client_dies_at_its_start_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="no Ray here; pip install 'crnn-bench[ray]'")
    faults = [ConnectionAbortedError("Initialization failure from server:\nServer startup failed.")] * 2

    def init(*_: object, **__: object) -> None:
        if faults:
            raise faults.pop()

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(BenchError, match=r"answers at this machine \(Server startup failed\.\); begin one"):
        engines.of("ray").__enter__()
    assert not faults, "twice"
    faults.append(ConnectionAbortedError())
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True}] * 2)
    assert engines.of("ray").__enter__().words == "a Ray cluster of 2 machines"


def test_every_task_is_carried_out_once(engine: Engine) -> None:
    assert answers(carry_out(engine, square, range(20))) == {n: n**2 for n in range(20)}


def test_one_by_one_none_begins_before_the_one_before_it_has_ended(engine: Engine) -> None:
    told = [outcome.answer for outcome in carry_out(engine, when, range(6), one_by_one=True)]
    assert all(ended <= begun for (_, ended), (begun, _) in pairwise(filter(None, told)))
    assert [task for task in told if task is None] == []


def test_each_attempt_bears_a_name_of_its_own(engine: Engine) -> None:
    told = [outcome.answer for outcome in carry_out(engine, who, range(6))]
    assert len({claimant for claimant, _ in told if claimant}) == 6
    pids = {pid for _, pid in told}
    assert (os.getpid() in pids) == engine.in_process
    assert len(pids) <= 2 or not isinstance(engine, engines.Engine)


def test_what_is_foreseen_is_told_and_what_is_not_is_tried_again(engine: Engine) -> None:
    outcomes = {outcome.task: outcome for outcome in carry_out(engine, fail, range(5))}
    assert [outcomes[n].answer for n in (0, 1, 4)] == [0, 1, 4]
    assert isinstance(outcomes[2].fault, BenchError)
    assert (str(outcomes[2].fault), outcomes[2].attempts) == ("two is refused; take another", 1)
    assert isinstance(outcomes[3].fault, Unforeseen)
    assert (str(outcomes[3].fault), outcomes[3].attempts) == ("ValueError: three was not foreseen", 2)
    assert "in fail" in "".join(outcomes[3].fault.__notes__), "the note tells where"


def test_a_task_that_kills_its_worker_once_is_carried_out_and_one_that_does_so_twice_is_given_up(
    engine: Engine, tmp_path: Path
) -> None:
    if engine.in_process:
        pytest.skip("a task that kills this process kills the tests")
    dead: list[str] = []
    tasks = [(tmp_path, deaths) for deaths in (0, 1, 2)]
    outcomes = {
        o.task[1]: o for o in carry_out(engine, count, tasks, lambda task, claimant, words: dead.append(claimant))
    }
    assert (outcomes[0].answer, outcomes[0].attempts) == (1, 1)
    assert (outcomes[1].answer, outcomes[1].attempts) == (2, 2)
    assert isinstance(outcomes[2].fault, WorkerDied)
    assert not isinstance(outcomes[2].fault, MachineDied)
    assert outcomes[2].attempts == 2
    assert len(set(dead)) == 3, "each lost attempt is told by its name"
    assert len(list(tmp_path.glob("2-*"))) == 2


def test_the_death_of_a_process_is_told_with_its_signal(processes: Engine, tmp_path: Path) -> None:
    (outcome,) = carry_out(processes, count, [(tmp_path, 9)])
    assert "SIGKILL (the system does so when memory runs out)" in str(outcome.fault)


def test_processes_divide_the_threads(processes: Engine) -> None:
    assert {outcome.answer for outcome in carry_out(processes, threads, range(3))} == {(1, "1")}


ORPHANS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from crnn_bench import engines
from tests.test_engines import wait_long
if __name__ == "__main__":
    with engines.of("processes", workers=1) as opened:
        list(engines.carry_out(opened, wait_long, [Path(sys.argv[2])]))
"""


def test_workers_end_with_the_process_that_began_them(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(ORPHANS)
    process = subprocess.Popen([sys.executable, script, ROOT, tmp_path])
    while not (begun := list(tmp_path.glob("begun-*"))):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    worker = Path("/proc") / begun[0].name.partition("-")[2]
    for _ in range(100):
        if not worker.exists() or worker.joinpath("stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the worker goes on for nobody")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lokal",), "unknown name 'lokal' (did you mean 'local'?)"),
        (("local://here",), "--engine local takes no address"),
        (("processes", 0), "--workers must be at least 1, got 0"),
        (("processes", 2, 0), "--cpus-per-cell must be at least 1, got 0"),
    ],
)
def test_a_wrong_engine_is_told_in_one_line(arguments: tuple[str, int], words: str) -> None:
    with pytest.raises(BenchError) as told:
        engines.of(*arguments)
    assert words in str(told.value)
