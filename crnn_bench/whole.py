"""Files that are there whole or not at all."""

import os
import platform
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

LONGEST_MACHINE = 32  # letters of its name in a file's name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its place when the block ends well and vanishes otherwise.

    Makes the folder. Temporary names are unique, so any number of processes may write the same file; they tell whose
    they are, so that `sweep` finds those that nobody writes any more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{_machine()}.{os.getpid()}.{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # a full disk does not say which file it was
        raise
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes what processes of this machine were writing into a folder, or those in it, when they were killed."""
    if os.name != "posix":
        return  # elsewhere signal 0 is not a mere question
    for part in folder.rglob(f".*.{_machine()}.*.part"):
        with suppress(PermissionError, OverflowError, ValueError):  # someone else's process, or no name of ours
            try:
                os.kill(int(part.name.split(".")[-3]), 0)
            except ProcessLookupError:
                part.unlink(missing_ok=True)


@cache
def _machine() -> str:
    """Within which a process has its number for itself: a container may share its machine's name, but not these."""
    numbers = Path("/proc/self/ns/pid")
    name = re.sub(r"\W", "_", platform.node())[:LONGEST_MACHINE]
    return f"{name}_{numbers.stat().st_ino if numbers.exists() else 0}"


def writable(path: Path) -> bool:
    """Whether a file could be written there, in folders that are still to be made, too."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    return above.is_dir() and os.access(above, os.W_OK) and not path.is_dir()
