"""Who plays what in an audio file: by its tags, and where they are silent, by its folders."""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

LONGEST = 300  # letters


class Tags(NamedTuple):
    """What a file says of itself, or its folders say of it; one line each, empty where nobody knows."""

    label: str
    artist: str
    album: str
    title: str
    seconds: float


def of(path: Path, track_id: str) -> Tags:
    """Reads a file's tags; `label` is the folder's artist, as the `Folder` dataset has it.

    Args:
        path: of a file that can be heard.
        track_id: its path below the library's folder, `artist/album/song.ext` or `artist/song.ext`.
    """
    import soundfile
    from tinytag import TinyTag, TinyTagException

    parts = PurePosixPath(track_id).parts if not PurePosixPath(track_id).is_absolute() else (path.name,)
    label, album = (parts[0] if len(parts) > 1 else ""), (parts[1] if len(parts) > 2 else "")
    try:
        tag = TinyTag.get(path, duration=False)
        said = tag.artist, tag.album, tag.title
    except (TinyTagException, ValueError, OSError):  # damaged tags do not make a bad song
        said = None, None, None
    artist, on, title = (one_line(text or "") for text in said)
    return Tags(label, artist or label, on or album, title or path.stem, float(soundfile.info(path).duration))


def one_line(text: str) -> str:
    """Text without line breaks, control characters and halves of letters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST])
    return " ".join(printable.split())
