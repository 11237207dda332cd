"""One's own music, as folders."""

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from crnn_bench.audio import EXTENSIONS
from crnn_bench.datasets import Dataset, fingerprint
from crnn_bench.errors import BenchError


class Folder(Dataset):
    """`root/artist/album/song.ext`, or `root/artist/song.ext` where there are no albums; the label is the artist.

    Folders below an album's (its discs) belong to the album. Links are followed. Files in `root` itself are left out.

    Args:
        root: the folder.
        artists: only these folders; all without it.
    """

    def __init__(self, root: str, artists: list[str] | None = None) -> None:
        self.root = root
        self.artists = artists

    @property
    def name(self) -> str:
        return Path(self.root).expanduser().resolve().name

    def tracks(self) -> pd.DataFrame:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise BenchError(f"no folder {root}; dataset.root must hold artist/album/song files")
        self._check_artists(root)
        rows = [row for file in audio_files(root) if (row := self._row(root, file))]
        if not rows:
            raise BenchError(f"no audio in {root}: expected artist/album/song with one of {', '.join(EXTENSIONS)}")
        return pd.DataFrame(rows)

    def _row(self, root: Path, file: Path) -> dict[str, str] | None:
        parts = file.relative_to(root).parts
        hidden = any(part.startswith(".") for part in parts)
        if hidden or len(parts) < 2 or (self.artists and parts[0] not in self.artists):
            return None
        return {
            "track_id": "/".join(parts),
            "path": str(file.absolute()),
            "label": parts[0],
            "artist": parts[0],
            "album": parts[1] if len(parts) > 2 else "",
            "title": file.stem,
            "fingerprint": fingerprint(file),
        }

    def _check_artists(self, root: Path) -> None:
        there = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
        for artist in self.artists or ():
            if artist not in there:
                raise BenchError(f"no artist folder {artist!r} in {root}; there are {', '.join(there) or 'none'}")


def audio_files(root: Path) -> Iterator[Path]:
    """Every audio file below a folder, linked folders included, each folder once."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        yield from (Path(folder, name) for name in names if name.lower().endswith(EXTENSIONS))
