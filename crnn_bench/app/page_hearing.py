"""What the tabs of the page share: who does the work, how they tell how far it is, and what they take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import gradio

from crnn_bench.errors import BenchError

ENDINGS = (".mp3", ".wav", ".flac", ".ogg")
PROGRESS = gradio.Progress()  # gradio gives each request one of its own in this place


class Model(Protocol):
    """What the page needs to know of a model."""

    @property
    def key(self) -> str:
        """Its stable name."""

    @property
    def title(self) -> str:
        """What it is, in words."""


class Hearing(Protocol):
    """What does the work, elsewhere."""

    def ask(self, task: str, *arguments: Any, tell: Callable[[float, str], None] | None = None) -> Any:
        """A task's answer; raises `BenchError` in a listener's words."""


def telling(progress: gradio.Progress) -> Callable[[float, str], None]:
    """What a worker tells its progress to, for the page to show."""
    return lambda share, words: progress(share, desc=words)


def refuse(path: str) -> None:
    """Raises `BenchError` for a file whose name says that it is no song, and for one that is not kept any more."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise BenchError(f"{Path(path).name} is no song that can be heard here; give one of {', '.join(ENDINGS)}")
    if not Path(path).is_file():
        raise BenchError(f"{Path(path).name} is not kept any more, as nobody asked for long; give it again")
