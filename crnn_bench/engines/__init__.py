"""Where tasks are carried out: one file an engine, named by the word that chooses it on the command line."""

import traceback
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from crnn_bench import plugins
from crnn_bench.errors import BenchError, in_words

MOST_ATTEMPTS = 2  # a task that kills its worker, or raises what nobody foresaw, is poisoned after so many
MOST_MOVES = 4  # a task whose whole machine went away is begun again elsewhere so often

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Function = Callable[[Task, str], Answer]


class WorkerDied(Exception):  # noqa: N818 — it is news, and no error of the one who hears it
    """The process that carried out a task ended before the task did; the text says how."""


class MachineDied(WorkerDied):
    """The machine that it ran on went away, which is no fault of the task."""


class Unforeseen(Exception):  # noqa: N818 — likewise
    """What a task raised that is no `BenchError`, in words that go from process to process; a note has its place."""


def attempt(function: Callable[..., Answer], arguments: Sequence[Any]) -> tuple[Answer | None, Exception | None]:
    """Carries out a function where it is called: what it returns, or what it raised, one of them `None`."""
    try:
        return function(*arguments), None
    except BenchError as error:
        return None, BenchError(str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 — what a task raises is its outcome, as in every executor
        told = Unforeseen(in_words(error))
        told.add_note(traceback.format_exc())
        return None, told


@dataclass(frozen=True)
class Outcome(Generic[Task, Answer]):
    """How a task ended.

    Attributes:
        task: that was carried out.
        answer: what its function returned; `None` where it did not.
        fault: what it raised, or a `WorkerDied`; `None` where it returned.
        attempts: how often it was begun.
    """

    task: Task
    answer: Answer | None
    fault: BaseException | None
    attempts: int


class Engine(ABC):
    """Carries out tasks, several at once; a context, within which it is open.

    What is carried out is a function of a module, with arguments that can be pickled: it may run in another process.

    Args:
        workers: at most so many tasks at once.
        cpus: processors of each task; the engine's own choice without it.
        address: of a cluster, where an engine has such.
    """

    takes_address = False
    in_process = False
    sees_one_disk = True

    def __init__(self, workers: int, cpus: int | None = None, address: str = "") -> None:
        self.workers = workers
        self.cpus = cpus
        self.address = address
        self.files: list[Path] = []
        self.extractors: int | None = None
        self._askers = ThreadPoolExecutor(workers)
        if address and not self.takes_address:
            raise BenchError(f"--engine {plugins.short_name(plugins.class_path(type(self)))} takes no address")

    def submit(self, function: Callable[..., Answer], *arguments: Any) -> "Future[Answer]":
        """Begins a task, which a thread of this process waits for; its future raises as `ask` does."""
        return self._askers.submit(self.ask, function, arguments)

    @abstractmethod
    def ask(self, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        """Has a function carried out, and waits for it.

        Raises:
            WorkerDied: its process ended, or its machine went away.
            BenchError, Unforeseen, KeyboardInterrupt: the function raised, or was stopped.
        """

    def lay_out(self, files: Sequence[Path]) -> None:
        """Tells which files tasks read, for an engine whose machines may not see them."""
        self.files = list(files)

    def stop(self) -> None:
        """Ends what runs: tasks get a `KeyboardInterrupt`, and what does not heed it is killed."""
        self._askers.shutdown(cancel_futures=True)

    @property
    @abstractmethod
    def words(self) -> str:
        """What it is, as people say it: `2 processes`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def of(address: str, workers: int | None = None, cpus: int | None = None) -> Engine:
    """The engine that the command line names.

    Args:
        address: `local`, `processes`, `ray`, or `ray://HOST:PORT`.
        workers, cpus: as an engine takes them.

    Raises:
        BenchError: there is no such engine, or it takes no such arguments.
    """
    for name, value in (("--workers", workers), ("--cpus-per-cell", cpus)):
        if value is not None and value < 1:
            raise BenchError(f"{name} must be at least 1, got {value}")
    try:
        cls = plugins.find(address.partition("://")[0], Engine)
    except BenchError as error:
        raise BenchError(f"--engine: {error}") from None
    engine: Engine = cls(workers, cpus, address if "://" in address else "")
    return engine


def carry_out(
    engine: Engine,
    function: "Function[Task, Answer]",
    tasks: Sequence[Task],
    on_death: Callable[[Task, str, str], None] = lambda task, claimant, words: None,
    one_by_one: bool = False,
) -> "Generator[Outcome[Task, Answer], None, None]":
    """Carries out every task, and begins those again whose worker died or that failed unforeseen; no two at a time.

    A `BenchError` is foreseen: the same task would fail likewise. What kills its worker twice is given up, so that the
    others go on.

    Args:
        engine: that is open.
        function: of a task and of a name that this attempt alone bears.
        tasks: in the order in which they are begun.
        on_death: is told the task, the name of an attempt that will not end by itself, and why.
        one_by_one: whether none may begin before the one before it has ended.

    Yields:
        Outcomes in the order in which tasks end, one a task.
    """
    waiting = deque((task, 1) for task in tasks)
    running: dict[Future[Answer], tuple[Task, int, str]] = {}
    failures: dict[int, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < (1 if one_by_one else engine.workers):
                task, attempt = waiting.popleft()
                claimant = uuid.uuid4().hex
                running[engine.submit(function, task, claimant)] = (task, attempt, claimant)
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                task, attempt, claimant = running.pop(future)
                fault = future.exception()
                if isinstance(fault, WorkerDied):
                    on_death(task, claimant, str(fault))
                if isinstance(fault, KeyboardInterrupt):
                    raise fault
                blamed = failures[id(task)] = failures.get(id(task), 0) + (not isinstance(fault, MachineDied))
                spoiled = isinstance(fault, BenchError) or blamed >= MOST_ATTEMPTS or attempt > MOST_MOVES
                if fault is None or spoiled:
                    yield Outcome(task, future.result() if fault is None else None, fault, attempt)
                else:
                    waiting.insert(0 if one_by_one else len(waiting), (task, attempt + 1))
    finally:
        if running:
            engine.stop()
            for task, _, claimant in running.values():
                on_death(task, claimant, "stopped")
