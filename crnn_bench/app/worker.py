"""What a worker process does: one task after another, within the memory that there is for one."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from crnn_bench.errors import BenchError

ROOM_BYTES = 3 * 2**30  # that a task may take beyond what the models take
STOP = "stop"  # nobody waits for the answer any more

Tell = Callable[[float, str], None]
Ended = (EOFError, OSError)  # of a pipe whose other end is closed


class GoneError(BenchError):
    """Nobody waits for the answer any more."""


def serve(pipe: Connection, opening: Callable[[], object]) -> None:
    """What a worker does: open, then one task after another until its parent is gone.

    A task that nobody waits for any more ends when it next tells how far it is. An error that has no words for a
    listener ends the process, with its traceback: nobody knows what state it is in.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(share: float, words: str) -> None:
        if pipe.poll():  # nothing else comes in the midst of a task
            pipe.recv()
            raise GoneError("nobody waits for it any more")
        pipe.send(("told", (share, words)))

    with contextlib.suppress(*Ended):
        kind, opened = _outcome(opening)
        pipe.send((kind, opened if kind == "error" else None))
        _limit_memory()
        while kind == "answer":
            work = pipe.recv()
            if work != STOP:  # which came too late for the task before
                task, arguments = work
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
