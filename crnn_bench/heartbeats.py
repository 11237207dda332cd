"""Signs of life: a run's heartbeat in MLflow, its process, and what an observer may conclude from both."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from crnn_bench import whole
from crnn_bench.store import STORE_FAULTS

SECONDS_BETWEEN_BEATS = 15.0
SECONDS_UNTIL_ANOTHER_TRY = 5.0
SECONDS_OF_SILENCE = 90.0
MOST_SECONDS_BETWEEN_LOOKS = 30.0


class Heart:
    """Beats in a thread of its own until it stops.

    Args:
        tell: tells others a beat, which is never the same; may raise what a store does.

    Attributes:
        state: a word that each beat begins with.
    """

    def __init__(self, tell: Callable[[str], object], state: str) -> None:
        self.state = state
        self._tell, self._beats, self._stopped = tell, 0, threading.Event()
        threading.Thread(target=self._live, name="heartbeat", daemon=True).start()

    def beat(self) -> None:
        """Beats once, now."""
        self._beats += 1
        self._tell(f"{self.state} {self._beats}")

    def stop(self) -> None:
        """The end."""
        self._stopped.set()

    def _live(self) -> None:
        pause = SECONDS_BETWEEN_BEATS
        while not self._stopped.wait(pause):
            try:
                self.beat()
                pause = SECONDS_BETWEEN_BEATS
            except STORE_FAULTS:
                pause = SECONDS_UNTIL_ANOTHER_TRY


class Watch:
    """For how long hearts have been silent, by the clock of this process."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float, float]] = {}

    def silence(self, run_id: str, beat: str) -> float:
        """Seconds for which a run's heartbeat is known to be as it is."""
        now = monotonic()
        known, silent, looked = self._seen.get(run_id, ("", 0.0, now))
        silent = silent + min(max(now - looked, 0.0), MOST_SECONDS_BETWEEN_LOOKS) if beat == known else 0.0
        self._seen[run_id] = beat, silent, now
        return silent


def process() -> str:
    """What tells this process from every other one, on any machine."""
    return f"{whole.machine()}.{os.getpid()}.{_started(str(os.getpid()))}"


def is_gone(process: str) -> bool:
    """Whether a process is known to be gone: it was on this machine, and its number is free or another's."""
    machine, _, rest = process.partition(".")
    pid, _, started = rest.partition(".")
    return machine == whole.machine() and (whole.is_gone(pid) or _started(pid) != started)


def _started(pid: str) -> str:
    """When the system started a process, in its own count; blank where it does not tell, `gone` of one that ended."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "gone" if told[0] in "ZX" else told[19]
