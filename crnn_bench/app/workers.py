"""A desk of worker processes: each hears one file at a time, and a file that ends one ends nothing else."""

import contextlib
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from crnn_bench.app import worker
from crnn_bench.app.worker import STOP, Ended, GoneError, Tell
from crnn_bench.errors import BenchError

SECONDS = 300.0  # for one task; two hours of music and six models need fewer
OPENING_SECONDS = 180.0  # for a new worker: importing torch and reading models
GLANCE_SECONDS = 0.2  # how often someone who waits looks whether it is still worth it
RETRY_SECONDS = 10  # after which it is worth asking again


class Busy(BenchError):  # noqa: N818
    """As many tasks as may wait are waiting."""


class TooLongError(BenchError):
    """A task took more than its time."""


class CrashedError(BenchError):
    """A task ended its worker."""


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
            gone: whether nobody waits for it any more; then it does not begin, or ends at its next word.

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
            one = self._next(gone)
            if one.is_lost():
                one = self._replacement(one)
            try:
                return one.do((task, arguments), tell or _nothing, self._seconds, gone)
            finally:
                self._idle.put(one if one.is_fit() else self._replacement(one))
        finally:
            self._places.release()

    def _next(self, gone: Callable[[], bool]) -> "_Worker":
        while not gone() and not self._closed:
            with contextlib.suppress(queue.Empty):
                return self._idle.get(timeout=GLANCE_SECONDS)
        raise GoneError("nobody waits for it any more")

    def _another(self) -> "_Worker":
        with self._lock:
            new = _Worker(self._opening)
            self._all.add(new)
            if self._closed:  # in the meantime; nobody else would end it
                new.end()
        return new

    def _replacement(self, old: "_Worker") -> "_Worker":
        old.end()
        with self._lock:
            self._all.discard(old)
        return old if self._closed else self._another()

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        with self._lock:
            return [one.pid for one in self._all]

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        with self._lock:
            self._closed = True
            for one in self._all:
                one.end()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, opening: Callable[[], object]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of ours hold
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=worker.serve, args=(theirs, opening), daemon=True)
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

    def do(self, work: tuple[str, tuple[object, ...]], tell: Tell, seconds: float, gone: Callable[[], bool]) -> Any:
        """The answer to a task; whatever else comes of it, the worker is of no more use, but for an error in words."""
        self._broken = True  # until it has answered, or said in words why not
        if not self._open:
            self._opened()
        try:
            self._pipe.send(work)
        except Ended:
            raise CrashedError("it was lost on the way; try again") from None
        try:
            answer = self._answer(tell, seconds, gone)
        except _Refused as refused:
            self._broken = False
            raise refused.error from None
        self._broken = False
        return answer

    def _opened(self) -> None:
        try:
            self._answer(_nothing, OPENING_SECONDS, lambda: False)
        except _Refused as refused:
            raise refused.error from None
        self._open = True

    def _answer(self, tell: Tell, seconds: float, gone: Callable[[], bool]) -> Any:
        until, is_stopped = time.monotonic() + seconds, False
        while True:
            if not is_stopped and gone():
                is_stopped = True
                with contextlib.suppress(*Ended):
                    self._pipe.send(STOP)
            if time.monotonic() > until:
                raise TooLongError(f"it takes more than the {seconds:.0f} seconds that there are for it")
            if not self._pipe.poll(GLANCE_SECONDS):
                continue
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


def _nothing(share: float, words: str) -> None:
    """Of those who do not want to know how far it is."""
