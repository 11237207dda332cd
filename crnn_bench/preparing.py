"""The features of an experiment's datasets, extracted where they are missing."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crnn_bench import augmenting, catalogue, feature_store
from crnn_bench.altered import Altered
from crnn_bench.cells import Cell, Experiment
from crnn_bench.datasets import Dataset
from crnn_bench.engines import Engine
from crnn_bench.engines.local import Local
from crnn_bench.engines.processes import Processes
from crnn_bench.errors import BenchError
from crnn_bench.feature_store import Faults
from crnn_bench.features import Feature
from crnn_bench.planning import Plan
from crnn_bench.plugins import Choice
from crnn_bench.terminal import follow, say


@dataclass(frozen=True)
class Prepared:
    """The listings of an experiment's datasets, whose features are stored in `root`, and how fast that went."""

    listings: Mapping[Choice, pd.DataFrame]
    speed: Mapping[Choice, Mapping[str, float]]
    root: Path


def listings(work: Experiment) -> dict[Choice, pd.DataFrame]:
    """Lists the tracks of an experiment's datasets."""
    return {chosen: catalogue.listing(chosen.build()) for chosen in dict.fromkeys(cell.dataset for cell in work.cells)}


def is_prepared(work: Experiment, listed: Mapping[Choice, pd.DataFrame], root: Path) -> bool:
    """Whether every feature that a cell needs is stored, of songs as they are."""
    wanted = (
        (tracks, features_of([c for c in work.cells if c.dataset == chosen])) for chosen, tracks in listed.items()
    )
    return not any(feature_store.missing(root, tracks, features) for tracks, features in wanted)


def crew(engine: Engine) -> AbstractContextManager[Engine]:
    """Who extracts for an engine: what one process would do alone, all processors share."""
    return Processes(engine.extractors) if engine.in_process else nullcontext(engine)


def prepare(work: Experiment, listed: Mapping[Choice, pd.DataFrame], engine: Engine) -> Prepared:
    """Extracts what is missing of every feature that a cell of the experiment needs.

    Args:
        work: the experiment.
        listed: its datasets' tracks.
        engine: that is open.
    """
    root = feature_store.default_root()
    speed: dict[Choice, dict[str, float]] = {}
    for chosen, tracks in listed.items():
        dataset = chosen.build()
        if tracks.attrs.get("remark"):
            say(f"{dataset.name}: {tracks.attrs['remark']}")
        features = features_of([cell for cell in work.cells if cell.dataset == chosen])
        speed[chosen], faults = _extract(dataset, tracks, features, f"{_in_words(features)} of", root, engine)
        found = feature_store.FeatureStore(root, features[0]).lookup(tracks)
        stored = found.loc[found["reason"] != "", ["track_id", "reason"]].to_numpy().tolist()
        tell_rejected(faults | dict(stored))
    return Prepared(listed, speed, root)


def deform(plans: Sequence[Plan], prepared: Prepared, engine: Engine) -> None:
    """Extracts what is missing of the deformed songs, of those alone that some cell tests; says which are too short.

    Args:
        plans: of all cells.
        prepared: what they were planned from.
        engine: that is open.

    Raises:
        BenchError: a song cannot be opened any more.
    """
    for chosen, tracks in prepared.listings.items():
        concerned = [planned for planned in plans if planned.cell.dataset == chosen and planned.deformations]
        if not concerned:
            continue
        tested = {track for planned in concerned for track in planned.split.test}
        forms = {form.key: form for planned in concerned for form in planned.forms}
        plain = {planned.feature.key: planned.feature for planned in concerned}
        altered = [Altered(feature, form) for form in forms.values() for feature in plain.values()]
        songs = tracks[tracks["track_id"].isin(tested)]
        what = f"{' and '.join(type(feature).__name__ for feature in plain.values())} in {len(forms)} deformations of"
        _, faults = _extract(concerned[0].dataset, songs, altered, what, prepared.root, engine)
        if faults:
            track, why = min(faults.items())
            raise BenchError(f"{track} {why}, but is to be deformed; bring it back, or leave robustness out")
        _tell_unheard(concerned)


def _extract(
    dataset: Dataset, tracks: pd.DataFrame, features: Sequence[Feature], what: str, root: Path, engine: Engine
) -> tuple[dict[str, float], Faults]:
    """Extracts what is missing, and says so; returns how fast that went, and which tracks could not be opened."""
    todo = feature_store.missing(root, tracks, features)
    if not todo:
        say(f"{dataset.name}: {what} {tracks['track_id'].nunique()} tracks are stored")
        return {}, {}
    crew = Local() if dataset.features else engine  # a table is read already, in this process
    seconds, faults = follow(dataset.name, len(todo), feature_store.extract(dataset, tracks, features, root, crew))
    if feature_store.missing(root, tracks[~tracks["track_id"].isin(faults)], features):
        raise BenchError(
            f"the features of {dataset.name} were extracted on machines whose disks are not seen here; set "
            "CRNN_BENCH_CACHE to a folder that all share, or extract them here first: crnn-bench prepare"
        )
    rate = len(todo) / seconds
    say(f"{dataset.name}: {what} {len(todo)} tracks extracted in {seconds:.1f} s, {rate:.1f} tracks/s")
    return {"extract_seconds": seconds, "extract_tracks_per_second": rate}, faults


def _tell_unheard(plans: Sequence[Plan]) -> None:
    """Says how many test songs are too short for a slice once they are deformed."""
    said = dict.fromkeys(
        f"{planned.dataset.name}: {deformation.name}, {strength:g} {deformation.unit}, leaves {len(short)} of "
        f"{len(planned.split.test)} test songs shorter than a slice of {planned.cell.clip_seconds:g} s, e.g. {short[0]}"
        for planned in plans
        for deformation, strength, short in planned.unheard()
        if short
    )
    for line in said:
        say(line)


def features_of(cells: Sequence[Cell]) -> list[Feature]:
    """What some cells of one dataset hear, each once: songs as they are, then altered ones for training, by form."""
    plain = {feature.key: feature for feature in (cell.features.build() for cell in cells)}
    altered = {feature.key: feature for cell in cells for feature in _altered(cell)}
    return [*plain.values(), *sorted(altered.values(), key=lambda feature: feature.form.key)]


def _altered(cell: Cell) -> list[Altered]:
    forms = augmenting.forms([choice.build() for choice in cell.augment])
    return [Altered(cell.features.build(), form) for form in forms]


def _in_words(features: Sequence[Feature]) -> str:
    plain = [type(feature).__name__ for feature in features if not isinstance(feature, Altered)]
    altered = len(features) - len(plain)
    return " and ".join(plain) + (f" (and {altered} altered form{'s' * (altered > 1)})" if altered else "")


def tell_rejected(reasons: Mapping[str, str]) -> None:
    """Says which tracks are left out, and why."""
    for track, reason in sorted(reasons.items()):
        say(f"left out: {track}: {reason}")
    if len(reasons) > 1:
        say(f"{len(reasons)} tracks are left out")
