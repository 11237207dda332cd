"""Tasks for workers, of a module of their own that a new process imports in no time."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from crnn_bench.app.worker import Tell
from crnn_bench.audio import UnusableAudioError
from crnn_bench.errors import BenchError


class Tasks:
    """What may go wrong in a worker."""

    def __init__(self, words: str = "") -> None:
        if words:
            raise BenchError(words)

    def pid(self, tell: Tell) -> int:
        return os.getpid()

    def add(self, a: int, b: int, tell: Tell) -> int:
        tell(0.5, "half")
        return a + b

    def abort(self, tell: Tell) -> None:
        os.abort()

    def loop(self, tell: Tell) -> None:
        while True:
            pass

    def rest(self, seconds: float, tell: Tell) -> str:
        tell(0.0, "resting")
        time.sleep(seconds)
        return "rested"

    def chatter(self, tell: Tell) -> None:
        while True:
            tell(0.0, "working")
            time.sleep(0.01)

    def grow(self, tell: Tell) -> None:
        np.empty(2**31)  # 16 GiB

    def fail(self, tell: Tell) -> None:
        raise UnusableAudioError("silent")

    def surprise(self, tell: Tell) -> None:
        raise ZeroDivisionError

    def open(self, path: str, tell: Tell) -> None:
        Path(path).read_bytes()


class Slow:
    """What an API asks, answered after a second or never."""

    def analyse(self, path: str, keys: list[str], tell: Tell) -> dict[str, Any]:
        assert Path(path).read_bytes() == b"la"
        if "loop" in path:
            time.sleep(60)
        if "abort" in path:
            os.abort()
        time.sleep(1)
        return {"name": Path(path).name, "seconds": 1.0, "remark": None, "models": []}
