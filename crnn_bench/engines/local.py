"""Tasks one after another, in this process."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from crnn_bench.engines import Engine, attempt

Answer = TypeVar("Answer")


class Local(Engine):
    """Carries out a task where it is asked for: the plain way, with all processors for one task."""

    in_process = True

    def __init__(self, workers: int | None = None, cpus: int | None = None, address: str = "") -> None:
        super().__init__(1, cpus, address)
        self.extractors = workers

    def submit(self, function: Callable[..., Answer], *arguments: Any) -> "Future[Answer]":
        future: Future[Any] = Future()
        answer, fault = attempt(function, arguments)
        if fault:
            future.set_exception(fault)
        else:
            future.set_result(answer)
        return future

    def ask(self, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        return self.submit(function, *arguments).result()

    @property
    def words(self) -> str:
        return "this process"
