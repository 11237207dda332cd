"""A desk of worker processes: each hears one file at a time, and a file that ends one ends nothing else."""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from crnn_bench.errors import BenchError

SECONDS = 300.0  # for one task; two hours of music and six models need fewer
OPENING_SECONDS = 180.0  # for a new worker: importing torch and reading models
ROOM_BYTES = 3 * 2**30  # that a task may take beyond what the models take
GLANCE_SECONDS = 0.2  # how often someone who waits looks whether it is still worth it
RETRY_SECONDS = 10  # after which it is worth asking again

Tell = Callable[[float, str], None]
Ended = (EOFError, OSError)  # of a pipe whose other end is closed


class Busy(BenchError):  # noqa: N818
    """As many tasks as may wait are waiting."""


class TooLongError(BenchError):
    """A task took more than its time."""


class CrashedError(BenchError):
    """A task ended its worker."""


class GoneError(BenchError):
    """Nobody waits for the answer any more."""


class Workers:
    """Some processes that open the same things once, and a waiting line of bounded length before them."""

    def __init__(self, opening: Callable[[], object], n: int, waiting: int, seconds: float = SECONDS) -> None:
        """Starts the processes, which open in the background.

        Args:
            opening: called once in each process, makes the object whose methods are the tasks; can be pickled.
            n: processes.
            waiting: tasks that may wait for one.
            seconds: for one task.
        """
        self._opening, self._seconds = opening, seconds
        self._places = threading.BoundedSemaphore(n + waiting)
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all: set[_Worker] = set()
        self._lock, self._closed = threading.Lock(), False
        for _ in range(n):
            self._idle.put(self._another())

    def ask(
        self,
        task: str,
        *arguments: object,
        tell: Tell | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> Any:
        """Runs a method of the opened object, `task(*arguments, tell)`, in a worker.

        Args:
            task: the method's name.
            arguments: that can be pickled.
            tell: is told how far it is, in 0 to 1 and in words, in the thread that asks.
            gone: whether nobody waits for it any more; then it never begins.

        Returns:
            What the task returns.

        Raises:
            Busy: too many wait already.
            TooLongError, CrashedError: what the task came to; its worker is replaced.
            GoneError: nobody waited any more.
            BenchError: as the task raised it.
        """
        if not self._places.acquire(blocking=False):
            raise Busy(f"too many others are being served just now; try again in {RETRY_SECONDS} seconds")
        try:
            worker = self._next(gone)
            if worker.is_lost():
                worker = self._replacement(worker)
            try:
                return worker.do((task, arguments), tell or (lambda share, words: None), self._seconds)
            finally:
                self._idle.put(worker if worker.is_fit() else self._replacement(worker))
        finally:
            self._places.release()

    def _next(self, gone: Callable[[], bool]) -> "_Worker":
        while not gone() and not self._closed:
            with contextlib.suppress(queue.Empty):
                return self._idle.get(timeout=GLANCE_SECONDS)
        raise GoneError("nobody waits for it any more")

    def _another(self) -> "_Worker":
        with self._lock:
            worker = _Worker(self._opening)
            self._all.add(worker)
            if self._closed:  # in the meantime; nobody else would end it
                worker.end()
        return worker

    def _replacement(self, worker: "_Worker") -> "_Worker":
        worker.end()
        with self._lock:
            self._all.discard(worker)
        return worker if self._closed else self._another()

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        with self._lock:
            return [worker.pid for worker in self._all]

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        with self._lock:
            self._closed = True
            for worker in self._all:
                worker.end()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, opening: Callable[[], object]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of ours hold
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, opening), daemon=True)
        self._process.start()
        theirs.close()
        self._open = self._broken = False

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def is_lost(self) -> bool:
        """Whether it ended while it had nothing to do; killed for its memory, perhaps."""
        return self._open and not self._process.is_alive()

    def is_fit(self) -> bool:
        return not self._broken and self._process.is_alive()

    def do(self, work: tuple[str, tuple[object, ...]], tell: Tell, seconds: float) -> Any:
        """The answer to a task; whatever else comes of it, the worker is of no more use, but for an error in words."""
        self._broken = True  # until it has answered, or said in words why not
        if not self._open:
            self._opened()
        try:
            self._pipe.send(work)
        except Ended:
            raise CrashedError("it was lost on the way; try again") from None
        try:
            answer = self._answer(tell, seconds)
        except _Refused as refused:
            self._broken = False
            raise refused.error from None
        self._broken = False
        return answer

    def _opened(self) -> None:
        try:
            self._answer(lambda share, words: None, OPENING_SECONDS)
        except _Refused as refused:
            raise refused.error from None
        self._open = True

    def _answer(self, tell: Tell, seconds: float) -> Any:
        until = time.monotonic() + seconds
        while True:
            if not self._pipe.poll(max(0.0, until - time.monotonic())):
                raise TooLongError(f"it takes more than the {seconds:.0f} seconds that there are for it")
            try:
                kind, content = self._pipe.recv()
            except Ended:
                raise CrashedError("it cannot be analysed: the program that heard it broke off") from None
            if kind == "answer":
                return content
            if kind == "error":
                raise _Refused(content)
            tell(*content)

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


class _Refused(Exception):  # noqa: N818
    """A task that ended in words."""

    def __init__(self, error: BenchError) -> None:
        super().__init__(str(error))
        self.error = error


def _serve(pipe: Connection, opening: Callable[[], object]) -> None:
    """What a worker does: open, then one task after another until its parent is gone.

    An error that has no words for a listener ends the process, with its traceback: nobody knows what state it is in.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(share: float, words: str) -> None:
        pipe.send(("told", (share, words)))

    with contextlib.suppress(*Ended):
        kind, opened = _outcome(opening)
        pipe.send((kind, opened if kind == "error" else None))
        _limit_memory()
        while kind == "answer":
            task, arguments = pipe.recv()
            pipe.send(_outcome(getattr(opened, task), *arguments, tell))


def _outcome(task: Callable[..., Any], *arguments: object) -> tuple[str, Any]:
    try:
        return "answer", task(*arguments)
    except BenchError as error:
        return "error", error
    except OSError as error:
        return "error", BenchError(f"it cannot be opened ({error.strerror or type(error).__name__})")
    except MemoryError:
        return "error", BenchError("it needs more memory than there is for one file; send a shorter one")


def _end_with_parent() -> None:
    """Ends this process when the parent is gone, even one that was killed, and even in the midst of a task."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _limit_memory() -> None:
    """Lets the system refuse memory beyond what is in use and `ROOM_BYTES` (on Linux; elsewhere nothing is limited)."""
    if sys.platform == "linux":
        import resource

        with open("/proc/self/status", encoding="ascii") as status:
            used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (used + ROOM_BYTES, used + ROOM_BYTES))
