"""Files that are there whole or not at all."""

import hashlib
import os
import platform
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its place when the block ends well and vanishes otherwise.

    Makes the folder. Temporary names are unique, so any number of processes may write the same file; they tell whose
    they are, so that `sweep` finds those that nobody writes any more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{machine()}.{os.getpid()}.{uuid.uuid4().hex[:12]}.part")
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
    for part in folder.rglob(f".*.{machine()}.*.part"):
        if is_gone(part.name.split(".")[-3]):
            part.unlink(missing_ok=True)


def is_gone(pid: str) -> bool:
    """Whether no process has this number any more, as far as this system tells; not so of what is no number."""
    if os.name == "posix" and pid.isdigit():  # elsewhere signal 0 is not a mere question
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):  # someone else's process, or no number of one
            return False
    return False


@cache
def machine() -> str:
    """What tells apart where numbers of processes count: machines since their last start, and containers on them."""
    parts = [platform.node()]
    if sys.platform == "linux":
        boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
        parts += [boot.read_text(), str(numbers.stat().st_ino)]
    return hashlib.blake2b("".join(parts).encode(), digest_size=4).hexdigest()


def writable(path: Path) -> bool:
    """Whether a file could be written there, in folders that are still to be made, too."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    return above.is_dir() and os.access(above, os.W_OK) and not path.is_dir()
