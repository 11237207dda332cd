"""Tasks in processes of this machine, which divide its processors among them."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import parent_process
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

from crnn_bench import collector
from crnn_bench.engines import Engine, Unforeseen, WorkerDied, attempt
from crnn_bench.errors import BenchError

Answer = TypeVar("Answer")

SECONDS_TO_END = 15.0  # a task that is interrupted has to close its run
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


class Processes(Engine):
    """Carries out tasks in worker processes, begun one by one as they are needed.

    A worker that dies is known with its task and its exit code, and no other task suffers; joblib's pool breaks as a
    whole, and cannot tell which of its tasks was to blame.
    """

    def __init__(self, workers: int | None = None, cpus: int | None = None, address: str = "") -> None:
        from joblib import cpu_count  # knows what affinity and containers leave

        super().__init__(workers or max(1, cpu_count() // (cpus or 1)), cpus, address)
        self.threads = cpus or max(1, cpu_count() // self.workers)
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._started: list[_Worker] = []
        self._starting, self._stopped = threading.Lock(), False

    def ask(self, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = self._start()
        try:
            answer: Answer = worker.ask(function, arguments)
        except (BenchError, Unforeseen):
            self._idle.put(worker)  # nothing is wrong with it
            raise
        self._idle.put(worker)
        return answer

    def stop(self) -> None:
        with self._starting:
            self._stopped = True
        self._askers.shutdown(wait=False, cancel_futures=True)
        for worker in self._started:
            worker.interrupt()
        for worker in self._started:
            worker.dismiss()
        for worker in self._started:
            worker.end()
        super().stop()

    def _start(self) -> "_Worker":
        with self._starting:
            if self._stopped:
                raise KeyboardInterrupt
            worker = _Worker(self.threads)
            self._started.append(worker)
            return worker

    @property
    def words(self) -> str:
        threads = f" of {self.threads} threads" if self.threads > 1 else ""
        return f"{self.workers} processes{threads}" if self.workers != 1 else f"a process{threads}"


class _Worker:
    """A process, and the pipe that leads to it."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # forked threads and locks of torch would never wake
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, threads))
        resource_tracker.ensure_running()  # which would unblock the signal
        earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until it is ready to be interrupted
        self._process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        theirs.close()  # else the end of the process would not end the pipe

    def ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Has a function carried out.

        Raises:
            WorkerDied: the process ended.
            BenchError, Unforeseen, KeyboardInterrupt: as `attempt` has them.
        """
        try:
            self._pipe.send_bytes(ForkingPickler.dumps((function, arguments)))
            answer, fault = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise WorkerDied(_how(self._process.exitcode or 0)) from None
        if fault:
            raise fault
        return answer

    def interrupt(self) -> None:
        """Interrupts what it does, if anything."""
        if self._process.is_alive() and self._process.pid:
            os.kill(self._process.pid, signal.SIGINT)

    def dismiss(self) -> None:
        """Tells it to end."""
        with contextlib.suppress(OSError):  # it is gone
            self._pipe.send_bytes(b"")

    def end(self) -> None:
        """Waits until it has ended, or kills it where it does not."""
        self._process.join(SECONDS_TO_END)
        self._process.kill()
        self._process.join()


def _work(pipe: Connection, threads: int) -> None:
    """What a worker does: carries out what comes until the pipe or the process that began it ends."""
    signal.signal(signal.SIGINT, _interrupt)
    os.environ |= dict.fromkeys(THREADS, str(threads))  # before the libraries that read it are imported
    threading.Thread(target=_end_with_parent, daemon=True).start()
    collector.spare_the_end()
    with contextlib.suppress(EOFError):  # the process that began it is gone
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            while asked := pipe.recv_bytes():
                said = attempt(_carry_out, [asked])
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # half an answer would be none
                pipe.send(said)
                signal.signal(signal.SIGINT, _interrupt)
        except KeyboardInterrupt as stop:
            pipe.send((None, stop))


def _carry_out(asked: bytes) -> Any:
    """What cannot be unpickled here, since its module cannot be imported, say, is the task's fault."""
    with collector.paused():
        function, arguments = ForkingPickler.loads(asked)
    return function(*arguments)


def _interrupt(*_: object) -> None:
    """Once; a second Ctrl-C must not hinder the first one's tidying up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on for nobody."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _how(code: int) -> str:
    """How a process ended, by its exit code."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    hint = " (the system does so when memory runs out)" if code == -signal.SIGKILL else ""
    return f"its process was ended by {signal.Signals(-code).name}{hint}"
