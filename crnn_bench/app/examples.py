"""Songs that come with the page: some that the package composes, and some test songs of the experiment itself."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import soundfile

from crnn_bench.app import limits
from crnn_bench.datasets.toy import Toy
from crnn_bench.songs import Songs

COMPOSED = ("artist-1", "artist-2", "artist-3")
ALBUM = "album-100"  # no experiment on the toy dataset has it, so that its models have never heard these songs
SAMPLE_RATE = 22050
MOST_TEST_SONGS = 4
LARGEST_BYTES = 20_000_000  # of a test song that is copied


@dataclass(frozen=True)
class Example:
    """A song that comes with the page.

    Attributes:
        title: what the page calls it.
        path: its file.
    """

    title: str
    path: Path


def write(folder: Path, songs: Songs | None) -> list[Example]:
    """Writes them into a folder; test songs are those of whatever labels still have their files, one a label.

    Args:
        folder: the only place from which the page serves files.
        songs: of the experiment, where they are known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tested = [] if songs is None else _tested(folder, songs)
    return [*tested, *(_composed(folder, artist) for artist in COMPOSED)]


def _composed(folder: Path, artist: str) -> Example:
    toy = Toy()
    track = toy.tracks().iloc[0].copy()
    track["track_id"] = f"{artist}/{ALBUM}/song-1"
    path = folder / f"composed by {artist}.wav"
    soundfile.write(path, toy.read(track, SAMPLE_RATE), SAMPLE_RATE)
    return Example(f"{artist} of the toy dataset on a new album, composed by this program", path)


def _tested(folder: Path, songs: Songs) -> list[Example]:
    table = songs.table[songs.table["part"] == "test"].drop_duplicates("label")
    found = []
    for number, row in enumerate(table.to_dict("records")):
        source = Path(row["path"])
        if row["path"] and source.is_file() and source.stat().st_size <= LARGEST_BYTES:
            path = folder / str(number) / limits.harmless(source.name)
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, path)
            found.append(Example(f"{row['title'] or source.stem}, by {row['label']} (a test song)", path))
        if len(found) == MOST_TEST_SONGS:
            break
    return found
