"""Playlists from a library: chosen by a taste, with a reason for each song, as M3U8 and JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from crnn_bench import fetching, listening, shelf, songs
from crnn_bench.app import library as libraries
from crnn_bench.app import listeners, neighbours, selection
from crnn_bench.app import taste as tastes
from crnn_bench.app.neighbours import Neighbours, units
from crnn_bench.app.selection import Limits
from crnn_bench.app.tags import one_line
from crnn_bench.app.taste import Taste
from crnn_bench.bundles import Bundle
from crnn_bench.errors import BenchError
from crnn_bench.shelf import Shelved
from crnn_bench.songs import Songs
from crnn_bench.terminal import console, say, show, table_of
from crnn_bench.whole import replacing, writable

ENDINGS = (".m3u8", ".m3u", ".json")
NAMED = 3  # unknown songs of a history, and files that cannot be heard
LIKE, A_LITTLE = 0.5, 0.2  # cosines from which a song is called like another one, or a little


class Given(TypedDict, total=False):
    """What tells a taste: files, or a CSV file of what was played."""

    seeds: Sequence[Path] | None
    history: Path | None


@dataclass(frozen=True)
class Playlist:
    """Songs to be played one after another.

    Attributes:
        songs: one row each, in order; `track_id, path, artist, album, title, seconds`, the model's most probable
            `label`, `closeness` to the taste (0 to 1), its closest `seed` with their cosine, `similarity`, and the
            `reason` in words.
        variety: by which it was chosen.
        notes: what the library did not allow, in words.
    """

    songs: pd.DataFrame
    variety: float
    notes: tuple[str, ...] = ()

    def m3u8(self, folder: Path | None = None) -> str:
        """The list in UTF-8 for any player.

        Args:
            folder: in which it will lie; songs below it are named from there, all others from the root.
        """
        lines = ["#EXTM3U"]
        for song in self.songs.itertuples():
            named = " - ".join(text for text in (one_line(song.artist), one_line(song.title)) if text)
            lines += [f"#EXTINF:{round(song.seconds)},{named}", _from(folder, str(song.path or song.track_id))]
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """All that is known of the list."""
        content = {"variety": self.variety, "notes": list(self.notes), "songs": self.songs.to_dict("records")}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def write(self, path: Path) -> None:
        """Writes the list as M3U8, or JSON by its name."""
        text = self.json() if path.suffix == ".json" else self.m3u8(path.parent)
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")


def _from(folder: Path | None, path: str) -> str:
    if folder is None or not Path(path).is_relative_to(folder.absolute()):
        return path
    relative = os.path.relpath(path, folder)
    return f"./{relative}" if relative.startswith("#") else relative  # else it were a comment


def choose(
    library: Songs,
    taste: Taste,
    length: int = 20,
    variety: float = 0.3,
    near: Neighbours | None = None,
    limits: Limits | None = None,
) -> Playlist:
    """Chooses songs of a library that go with a taste.

    Args:
        library: to choose from.
        taste: `taste.of` some songs that the same model heard.
        length: songs.
        variety: 0, the closest songs, to 1, songs of the neighbourhood that are the most different.
        near: `neighbours.build(library.vectors)`, where it is there already.
        limits: on songs of one artist and one album; the usual ones without it.

    Raises:
        BenchError: length or variety are out of range.
    """
    near = near or neighbours.build(library.vectors)
    found = selection.select(library, taste, length, variety, near, limits)
    chosen = library.where(found.positions)
    cosines = units(chosen.vectors) @ units(taste.songs.vectors).T
    closest = cosines.argmax(axis=1)
    table = chosen.table[["track_id", "path", "artist", "album", "title", "seconds"]].assign(
        label=[library.classes[number] for number in chosen.probabilities.argmax(axis=1)],
        closeness=found.closeness,
        similarity=cosines.max(axis=1, initial=-1).astype(float),
        seed=taste.songs.table["title"].iloc[closest].to_numpy(),
    )
    table["reason"] = [f"{_like(row.similarity, row.seed)}; {row.label}" for row in table.itertuples()]
    return Playlist(table.astype({"seconds": float}), variety, found.notes)


def _like(similarity: float, seed: str) -> str:
    """How far a song resembles the one of the taste that it is closest to, in words that claim no more than it does."""
    if similarity < A_LITTLE:
        return f"not much like any; closest to {seed} ({similarity:.2f})"
    return f"{'like' if similarity >= LIKE else 'a little like'} {seed} ({similarity:.2f})"


def make(
    model: str,
    library: Path,
    given: Given,
    length: int,
    variety: float,
    out: Path | None,
    tracking_uri: str | None,
) -> Playlist:
    """Chooses songs of a folder by seeds or a history, prints them with reasons, and writes the list.

    Args:
        model: as `fetching.place` takes it.
        library: a folder of music.
        given: `seeds`, audio files, in the library or not; or `history`, a CSV file as `taste.history` reads it, of
            songs of the library.
        length, variety: as `choose` takes them.
        out: an .m3u8 or .json file, if one is wanted.
        tracking_uri: of an MLflow store.

    Raises:
        BenchError: no such model, library, seed or history; or a number is out of range.
    """
    _refuse(length, variety, out)
    bundle = shelf.best(fetching.place(model, tracking_uri)).bundle
    heard = indexed(bundle, library)
    seeds, history = given.get("seeds"), given.get("history")
    liked = _by_history(heard, library, history) if history else _by_seeds(bundle, heard, library, seeds or ())
    made = choose(heard, liked, length, variety)
    _tell(made, liked)
    if out:
        made.write(out)
        say(str(out))
    return made


def evaluate(model: str, library: Path, length: int, variety: float, tracking_uri: str | None) -> pd.DataFrame:
    """Prints how well lists foretell what listeners made up from a folder's artists play, as `listeners.evaluate` does.

    Raises:
        BenchError: no such model or library, it has fewer than two artists, or a number is out of range.
    """
    _refuse(length, variety, None)
    shelved = shelf.best(fetching.place(model, tracking_uri))
    return listeners.report(_unheard(shelved, indexed(shelved.bundle, library)), length, variety)


def _unheard(shelved: Shelved, heard: Songs) -> Songs:
    """The songs of a library that the model was not made with, as far as its experiment tells."""
    if shelved.songs is None:
        say("which songs the model was trained on is not known; where they are in the library, it looks too good")
        return heard
    known = shelved.songs.table
    used = known[known["part"] != "test"]
    names = used["path"].tolist() + used["track_id"].tolist()  # by both, for the music may have moved
    left = np.setdiff1d(np.arange(len(heard)), tastes.located(heard, names, [Path()]))
    number = len(heard) - len(left)
    say(f"{number} of {len(heard)} songs are left out, since the model was trained with them or chosen by them")
    if not len(left):
        raise BenchError("the model was made with all songs of the library; give another folder or model")
    return heard.where(left)


def _refuse(length: int, variety: float, out: Path | None) -> None:
    """Raises `BenchError` for what would fail only once the library is heard."""
    selection.refuse(length, variety)
    if out and out.suffix not in ENDINGS:
        raise BenchError(f"--out {out}: its name must end in {' or '.join(ENDINGS)}")
    if out and not writable(out):
        raise BenchError(f"--out {out}: cannot be written there; name a file in a folder of yours")


def indexed(bundle: Bundle, folder: Path) -> Songs:
    """The songs of a folder, as `library.index` hears them; tells progress and what had to be left out."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(bar_width=10), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(listening.readable(folder), total=1.0)
        heard = libraries.index(
            bundle, folder, lambda done, words: progress.update(task, completed=done, description=words)
        )
    bad = libraries.faults(bundle, folder)
    for name, fault in list(bad.items())[:NAMED]:
        say(f"left out: {name}: {fault}")
    left = f", {len(bad)} left out" if bad else ""
    say(f"{bundle.about['name']}: {len(heard)} songs in {folder}{left}")
    return heard


def _by_seeds(bundle: Bundle, heard: Songs, folder: Path, seeds: Sequence[Path]) -> Taste:
    """The taste of some files; those that are not in the library are heard now."""
    seeds = list(dict.fromkeys(path.absolute() if path.exists() else path for path in seeds))
    places = tastes.located(heard, list(map(str, seeds)), [folder])
    inside = heard.where(np.unique(places[places >= 0]))
    outside = [path for path, place in zip(seeds, places, strict=True) if place < 0]
    return tastes.of(songs.joined([inside, libraries.hear(bundle, outside)]) if outside else inside)


def _by_history(heard: Songs, folder: Path, history: Path) -> Taste:
    table = tastes.history(history)
    places = tastes.located(heard, table["path"].tolist(), [folder, history.parent, Path()])
    unknown = table["path"][places < 0].tolist()
    for name in unknown[:NAMED]:
        say(f"{history}: {one_line(name)} is not in {folder}")
    if len(unknown) == len(table):
        raise BenchError(f"{history}: none of its {len(table)} paths is in {folder}; give paths as the files have them")
    if unknown:
        say(f"{history}: {len(unknown)} of {len(table)} paths are unknown and do not count")
    plays = np.bincount(places[places >= 0], table["plays"][places >= 0], len(heard))
    return tastes.of(heard.where(plays > 0), plays[plays > 0].astype(float))


def _tell(made: Playlist, liked: Taste) -> None:
    columns = {"": [str(number) for number in range(1, len(made.songs) + 1)]}
    for name in ("artist", "album", "title", "label", "seed"):
        columns[name] = [one_line(text) for text in made.songs[name]]
    columns["similarity"] = [f"{number:.2f}" for number in made.songs["similarity"]]
    table = pd.DataFrame(columns).rename(columns={"seed": "closest to"})
    show(table_of(table, ["", "similarity"]))
    shares = zip(liked.songs.classes, liked.genres, strict=True)
    told = ", ".join(
        f"{name} {share:.0%} ({(made.songs['label'] == name).sum()} in the list)" for name, share in shares if share > 0
    )
    say(f"listened to: {told}; variety {made.variety:g}")
    for note in made.notes:
        say(note)
