"""The command `predict`: whose songs some audio files are, in lines or in JSON."""

import gc
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from crnn_bench import fetching, listening, shelf
from crnn_bench.audio import UnusableAudioError
from crnn_bench.errors import BenchError
from crnn_bench.familiar import Familiarity
from crnn_bench.listening import Timeline
from crnn_bench.shelf import Shelved
from crnn_bench.terminal import counted, say
from crnn_bench.whole import replacing, writable

ENDINGS = (".csv", ".png")
MOST_DRAWN = 50  # songs in one figure


def answer(
    model: str, files: Sequence[Path], top: int, timeline: Path | None, as_json: bool, tracking_uri: str | None
) -> None:
    """Tells whose song each file is, and writes the timelines; a bad file is named, and the others go on.

    A file that is given twice is heard once.

    Args:
        model: as `fetching.place` takes it; of several the best on validation songs.
        files: audio files.
        top: how many labels are told of each, the most probable first.
        timeline: a CSV or PNG file, if one is wanted.
        as_json: prints one JSON object a line and file, and nothing else.
        tracking_uri: of the store of a run or registered model.

    Raises:
        BenchError: there is no such model; or files could not be heard, after all others are done.
    """
    gc.freeze()  # what is imported stays; to search it for cycles again when Python ends takes half a second
    files = list(dict.fromkeys(files))
    if top < 1:
        raise BenchError(f"--top {top}: expected at least 1")
    if timeline:
        _refuse_unwritable(timeline, len(files))
    chosen = shelf.best(fetching.place(model, tracking_uri))
    if not as_json:
        say(_introduced(chosen))
    heard: dict[str, Timeline] = {}
    failures = []
    for path in counted("hearing", files):
        name, song, fault = listening.readable(path), None, ""
        try:
            song = listening.listen(chosen.bundle, path)
        except (UnusableAudioError, OSError) as error:
            fault = listening.reason(error)
            failures.append(f"{name}: {fault}")
        if as_json:
            _tell_json(name, song, fault, top, chosen)
        else:
            _tell(name, song, fault, top, chosen.familiarity)
        if timeline and song:
            heard[name] = song
    if timeline and heard:
        _write(timeline, heard)
        if not as_json:
            say(str(timeline))
    if failures:
        raise BenchError(f"{len(failures)} of {len(files)} files could not be heard: {failures[0]}")


def _introduced(chosen: Shelved) -> str:
    """A model in a line: `CRNN-…: 6 classes, slices of 3 s; weighted F1 on test songs 0.873 [95%: 0.70–0.96]`."""
    about, score = chosen.bundle.about, chosen.score
    clip = about["clip_seconds"]
    heard = "whole songs" if clip is None else f"slices of {clip:g} s"
    text = f"{about['name']}: {about['n_classes']} classes, {heard}"
    if not score:
        return text
    on = "test songs" if score.level == "song" else "slices of test songs"
    seeds = f" (mean of {score.seeds} seeds)" if score.seeds > 1 else ""
    return f"{text}; weighted F1 on {on} {score.value:.3f} [95%: {score.low:.2f}–{score.high:.2f}]{seeds}"


def _refuse_unwritable(path: Path, n_songs: int) -> None:
    """Raises `BenchError` for a timeline that could not be written once all songs are heard."""
    if path.suffix not in ENDINGS:
        raise BenchError(f"--timeline {path}: its name must end in {' or '.join(ENDINGS)}")
    if path.suffix == ".png" and n_songs > MOST_DRAWN:
        raise BenchError(f"--timeline {path}: {MOST_DRAWN} songs fit in a figure, got {n_songs}; give a .csv")
    if not writable(path):
        raise BenchError(f"--timeline {path}: cannot be written there; name a file in a folder of yours")


def _tell(name: str, song: Timeline | None, fault: str, top: int, familiarity: Familiarity | None) -> None:
    """Prints a line of a file, and another one if it is like nothing that the model knows."""
    if song is None:
        say(f"{name}: {fault}")
        return
    number = len(song.start_seconds)
    voted, kind = (f" by the vote of {number} slices", "mean probabilities") if number > 1 else ("", "probabilities")
    ranked = ", ".join(f"{label} {mean:.3f}" for label, mean in _ranked(song, top).items())
    say(f"{name}: {song.label}{voted}; {kind} {ranked}")
    if familiarity and not familiarity.known(song.vector):
        distance, most = familiarity.distance(song.vector[None])[0], familiarity.threshold
        say(f"    not like anything that this model knows: distance {distance:.3g}, {most:.3g} at most for known songs")


def _tell_json(name: str, song: Timeline | None, fault: str, top: int, chosen: Shelved) -> None:
    """Prints a line of JSON, whose keys are those of every file."""
    familiarity = chosen.familiarity
    print(
        json.dumps(
            {
                "path": name,
                "model": chosen.bundle.about["name"],
                "label": song.label if song else None,
                "probabilities": _ranked(song, top) if song else {},
                "n_slices": len(song.start_seconds) if song else 0,
                "seconds": round(len(song.start_seconds) * song.seconds, 3) if song else 0.0,
                "familiar": familiarity.known(song.vector) if song and familiarity else None,
                "fault": fault or None,
            }
        ),
        flush=True,
    )


def _ranked(song: Timeline, top: int) -> dict[str, float]:
    """Mean probabilities of the most probable labels, and of the song's label, against which the mean may be."""
    means = dict(zip(song.classes, song.compiled().tolist(), strict=True))
    ranked = sorted(means, key=lambda label: -means[label])[:top]
    return {label: means[label] for label in dict.fromkeys([*ranked, song.label])}


def _write(path: Path, heard: Mapping[str, Timeline]) -> None:
    """Writes timelines as a table with a column `file`, or draws them."""
    if path.suffix == ".csv":
        import pandas as pd

        table = pd.concat([song.table.assign(file=name) for name, song in heard.items()], ignore_index=True)
        with replacing(path) as part:
            table[["file", *table.columns.drop("file")]].to_csv(part, index=False)
    else:
        from crnn_bench.figures import timeline

        songs = {name: (song.start_seconds, song.seconds, song.probabilities) for name, song in heard.items()}
        figure = timeline.draw(songs, next(iter(heard.values())).classes)
        with replacing(path) as part:
            figure.savefig(part, format="png", dpi=120)
