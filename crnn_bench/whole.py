"""Files that are there whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its place when the block ends well and vanishes otherwise.

    Makes the folder. Temporary names are unique, so any number of processes may write the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # a full disk does not say which file it was
        raise
    finally:
        part.unlink(missing_ok=True)


def writable(path: Path) -> bool:
    """Whether a file could be written there, in folders that are still to be made, too."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    return above.is_dir() and os.access(above, os.W_OK) and not path.is_dir()
