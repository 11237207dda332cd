"""Python's search for garbage, out of the way where there is none to be found and it takes seconds."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No search while modules are imported: a million objects come, none of them garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def spare_the_end() -> None:
    """No search when this process ends, for the system takes all memory back at once."""
    atexit.register(gc.freeze)
