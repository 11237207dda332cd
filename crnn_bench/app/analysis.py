"""What page and API say of a song; runs in a worker process, which opens the models once."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn_bench import playing, songs
from crnn_bench.app import limits, measures, verdict
from crnn_bench.audio import UnusableAudioError
from crnn_bench.errors import BenchError

if TYPE_CHECKING:  # torch takes a second to import, which the server's own process does not need
    from crnn_bench.app.neighbours import Neighbours
    from crnn_bench.app.taste import Taste
    from crnn_bench.listening import Timeline
    from crnn_bench.shelf import Shelved
    from crnn_bench.songs import Songs

WHOLE_SECONDS = 900.0  # that models which hear whole songs at once may have: some 0.1 GB a minute are needed

Tell = Callable[[float, str], None]
Json = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A model as those who choose one need to know it.

    Attributes:
        key: its stable name.
        title: what it is.
        classes: that it tells apart.
        score: weighted F1 on test songs, `value, low, high`; `None` where it is not known.
    """

    key: str
    title: str
    classes: tuple[str, ...]
    score: Json | None


class Analysis:
    """The models of an experiment and what they can say; each method is a task of a worker, told by its name."""

    def __init__(self, place: Path, library: Path | None = None) -> None:
        """Opens the models, and measures noise, lest the first listener wait for what is made and compiled once.

        Args:
            place: as `fetching.place` gives it.
            library: songs as the best model places them; those of its experiment without it.
        """
        from crnn_bench import shelf

        self._shelf = {one.key: one for one in shelf.models(place)}
        self._library_path = library
        for one in self._shelf.values():
            _make_ready(one)
        measures.table(np.random.default_rng(0).uniform(-1, 1, measures.RATE).astype(np.float32))

    def models(self, tell: Tell) -> list[Model]:
        """All, the best on validation songs first."""
        return [
            Model(one.key, one.title, tuple(one.bundle.about["classes"]), verdict.score(one))
            for one in self._shelf.values()
        ]

    def analyse(self, path: str, keys: Sequence[str], tell: Tell) -> Json:
        """What some models say of a file.

        Args:
            path: of an audio file.
            keys: of the models, in the order of the answers.
            tell: is told the share of the work that is done.

        Returns:
            `name, seconds, remark, models`, and of each model `key, title, label, probabilities, timeline, familiar,
            similar, score`.

        Raises:
            UnusableAudioError: in words for a listener.
            BenchError: there is no such model.
            OSError: the file cannot be opened.
        """
        if unknown := [key for key in keys if key not in self._shelf]:
            raise BenchError(f"there is no model {unknown[0]!r}; there are {', '.join(self._shelf)}")
        header = limits.looked_at(Path(path))
        chosen, remark = _able([self._shelf[key] for key in keys], header)
        heard = self._heard(chosen, Path(path), tell)
        return {
            "name": Path(path).name,
            "seconds": header.seconds,
            "remark": remark,
            "models": [verdict.answer(one, heard[one.key]) for one in chosen],
        }

    def _heard(self, chosen: Sequence["Shelved"], path: Path, tell: Tell) -> dict[str, "Timeline"]:
        """By key; models that hear the same hear it together."""
        from crnn_bench import listening

        groups: dict[object, list[Shelved]] = {}
        for one in chosen:
            groups.setdefault(listening.hears(one.bundle), []).append(one)
        heard: dict[str, Timeline] = {}
        for group in groups.values():
            who = group[0].title if len(group) == 1 else f"{len(group)} models"
            tell(len(heard) / len(chosen), f"{who} listening")
            timelines = listening.together([one.bundle for one in group], path)
            heard |= {one.key: timeline for one, timeline in zip(group, timelines, strict=True)}
        tell(1.0, "done")
        return heard

    def features(self, path: str, tell: Tell) -> list[measures.Row]:
        """`feature, mean, variance` over a song's first two minutes at most, as `measures.table` has them.

        Raises:
            UnusableAudioError, OSError: as `analyse`.
        """
        limits.looked_at(Path(path))
        tell(0.0, "reading the song")
        samples = measures.beginning(Path(path), measures.TABLE_SECONDS)
        tell(0.2, "measuring it")
        return measures.table(samples)

    def spectrogram(self, path: str, tell: Tell) -> bytes:
        """A PNG of a song's first ten minutes at most.

        Raises:
            UnusableAudioError, OSError: as `analyse`.
        """
        whole_seconds = limits.looked_at(Path(path)).seconds
        tell(0.0, "drawing the song")
        return measures.spectrogram(measures.beginning(Path(path), measures.PICTURE_SECONDS), whole_seconds)

    def sound(self, key: str, number: int, tell: Tell) -> bytes:
        """An MP3 of a song of the experiment that lies in no file, but is made by its dataset.

        Raises:
            BenchError: the dataset makes none.
        """
        one = self._shelf[key]
        if one.songs is None:
            raise BenchError(f"{one.title} does not tell its songs")
        tell(0.0, "making the song")
        made = playing.dataset(one.bundle.about["parameters"])
        return playing.mp3(playing.samples(made, one.songs.table.iloc[number], measures.RATE), measures.RATE)

    def playlist(
        self, seeds: Sequence[str], numbers: Sequence[int], length: int, variety: float, places: str, tell: Tell
    ) -> Json:
        """Songs of the library that go with some seeds.

        Args:
            seeds: audio files.
            numbers: of songs of the library that are seeds, too.
            length, variety: as `playlist.choose` takes them.
            places: the address of a song of the library, with `{number}` in it.

        Returns:
            `variety, notes, songs, m3u8, json`; of each song its `number` and whether it is `playable`, too.

        Raises:
            UnusableAudioError, OSError: as `analyse`.
            BenchError: there is no library or no seed, or a number is out of range.
        """
        from crnn_bench.app import library, taste

        for path in seeds:
            limits.looked_at(Path(path))
        if not all(0 <= number < len(self._library) for number in numbers):
            raise BenchError(f"the library has {len(self._library)} songs, numbered from 0")
        tell(0.0, "listening to the seeds")
        liked = [self._library.where(np.array(sorted(set(numbers)), np.int64))]
        best = next(iter(self._shelf.values())).bundle
        for path in seeds:
            with _named(path):
                liked.append(library.hear(best, [Path(path)]))
        return self._listed(taste.of(songs.joined(liked)), length, variety, places, tell)

    def playlist_by_history(self, history: str, length: int, variety: float, places: str, tell: Tell) -> Json:
        """Likewise, by what was played: a CSV file of `path`s or `track_id`s of the library, and `plays`.

        Raises:
            BenchError: as `playlist`, or the file is no such table.
        """
        from crnn_bench.app import taste

        with _named(history):
            table = taste.history(Path(history))
        found = taste.located(self._library, table["path"].tolist(), [])
        if not (found >= 0).any():
            raise BenchError(f"none of the {len(table)} songs of the history is in the library")
        plays = np.bincount(found[found >= 0], table["plays"][found >= 0], len(self._library)).astype(float)
        liked = taste.of(self._library.where(plays > 0), plays[plays > 0])
        return self._listed(liked, length, variety, places, tell)

    def _listed(self, liked: "Taste", length: int, variety: float, places: str, tell: Tell) -> Json:
        from crnn_bench.app import playlist

        tell(0.8, "choosing songs")
        made = playlist.choose(self._library, liked, length, variety, self._near)
        numbers = [self._numbers[name] for name in made.songs["track_id"]]
        parameters = next(iter(self._shelf.values())).bundle.about["parameters"]
        playable = [playing.has_sound(path, parameters) for path in made.songs["path"]]
        addresses = [places.replace("{number}", str(number)) for number in numbers]
        told = replace(made, songs=made.songs.assign(path=addresses))  # where files lie is nobody's business
        rows = told.songs.assign(number=numbers, playable=playable).to_dict("records")
        return {
            "variety": variety,
            "notes": list(made.notes),
            "songs": rows,
            "m3u8": told.m3u8(),
            "json": told.json(),
        }

    @cached_property
    def _library(self) -> "Songs":
        best = next(iter(self._shelf.values()))
        placed = best.songs if self._library_path is None else songs.load(self._library_path)
        if placed is None:
            raise BenchError("there are no songs to make a list of; serve with --library FOLDER")
        return placed

    @cached_property
    def _near(self) -> "Neighbours":
        from crnn_bench.app import neighbours

        return neighbours.build(self._library.vectors)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._library.table["track_id"])}


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Has errors call a file by its name: where uploads lie is nobody's business."""
    try:
        yield
    except BenchError as error:
        raise BenchError(str(error).replace(path, Path(path).name)) from None


def _make_ready(one: "Shelved") -> None:
    """Builds what a model builds at its first use, or says why it cannot."""
    from crnn_bench.bundles import BaselineBundle, NetworkBundle

    if isinstance(one.bundle, NetworkBundle):
        one.bundle.network.eval()
    if isinstance(one.bundle, BaselineBundle):
        one.bundle.estimator.get_params(deep=False)
    _ = one.familiarity


def _able(chosen: Sequence["Shelved"], header: limits.Header) -> tuple[list["Shelved"], str | None]:
    """Those of some models that can hear a file of this length, and what a listener should know.

    Raises:
        UnusableAudioError: there is none.
    """
    able = [one for one in chosen if one.bundle.about["clip_seconds"] or header.seconds <= WHOLE_SECONDS]
    if len(able) == len(chosen):
        return able, header.remark
    left_out = ", ".join(one.title for one in chosen if one not in able)
    words = f"songs of more than {WHOLE_SECONDS / 60:.0f} minutes are not heard by {left_out}"
    if not able:
        raise UnusableAudioError(f"{words}; choose a model that hears slices")
    return able, " ".join([*([header.remark] if header.remark else []), f"{words[0].upper()}{words[1:]}."])
