"""What an experiment will take, from its grid, its listings, short trials and finished cells."""

import json
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from crnn_bench import catalogue, dashboard, feature_store, grouping, rates, slicing, splitting
from crnn_bench.altered import Altered
from crnn_bench.cells import Cell, Experiment
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.forecast import CellForecast, FeaturesForecast, Forecast
from crnn_bench.planning import Plan
from crnn_bench.plugins import Choice, digest
from crnn_bench.preparing import features_of
from crnn_bench.rates import Extraction, Kept, Pace
from crnn_bench.records import PARTS
from crnn_bench.results import RECORD
from crnn_bench.room import Room

SHARD_BYTES = 5300  # of a shard's index and array header
CELL_BYTES = 600_000  # of a cell's figures and its rows in MLflow's database, and the figures' copies there
COPIES = 2  # of predictions and weights: in the results' folder, and in MLflow's
PER_DRAW = ("split", "split_seed", "model_seed", "init_from")  # do not tell how long a training takes
Counts = dict[str, int]  # slices by part


def forecast(
    work: Experiment,
    listed: Mapping[Choice, pd.DataFrame],
    store: Path,
    out: Path,
    room: Room,
    plans: Sequence[Plan] = (),
    finished: Collection[str] = (),
    workers: int = 1,
    trials: bool = True,
) -> Forecast:
    """Foretells an experiment.

    Args:
        work: the experiment.
        listed: its datasets' tracks.
        store: root of the feature stores; beside it lies what earlier trials measured.
        out: the results' folder.
        room: what the machine has left.
        plans: of all cells in their order, if their features are stored; without them the slices are estimated.
        finished: identities of finished cells.
        workers: cells at a time.
        trials: whether short trials measure what is not known; without them no time is foretold.
    """
    kept = Kept(store.parent / "rates.json") if trials else None
    earlier = list(_records(out))
    telling = grouping.varied([cell.parameters for cell in work.cells])
    counted = {chosen: _Counted(tracks, rates.seconds_of(chosen.build(), tracks)) for chosen, tracks in listed.items()}
    cells = []
    laid_out: Sequence[Plan | None] = plans or [None] * len(work.cells)
    for cell, planned in zip(work.cells, laid_out, strict=True):
        title = dashboard.title(cell, telling)
        if planned and planned.identity in finished:
            cells.append(CellForecast(title, done=True))
            continue
        counts = _planned_slices(planned) if planned else counted[cell.dataset].slices(cell)
        n_classes = len(planned.catalogue.classes) if planned else listed[cell.dataset]["label"].nunique()
        pace = rates.pace(cell, cell.features.build(), n_classes, kept, store.parent) if kept else None
        cells.append(_cell(cell, title, counts, pace, n_classes, earlier))
    features = [
        _extraction(chosen, tracks, wanted, counted[chosen].seconds, kept, room.cores)
        for chosen, tracks in listed.items()
        if (wanted := _wanted(store, counted[chosen], [cell for cell in work.cells if cell.dataset == chosen]))
    ]
    return Forecast(tuple(cells), tuple(features), workers, room, store, out)


class _Counted:
    """How many slices the parts of a dataset have whose tracks nobody has decoded yet.

    Args:
        tracks: the listing.
        seconds: of some of them.
    """

    def __init__(self, tracks: pd.DataFrame, seconds: Sequence[float]) -> None:
        unique = tracks.drop_duplicates("track_id")
        length = statistics.fmean(seconds) if seconds else 0.0
        findings = unique[["track_id"]].assign(seconds=length, content=unique["track_id"], reason="", n_frames=1)
        self.tracks, self.findings, self.seconds = tracks, findings, seconds
        self.known: dict[Any, dict[str, tuple[str, ...]]] = {}

    def parts(self, cell: Cell) -> dict[str, tuple[str, ...]]:
        """Track ids by part, as if every track could be used; none where the split cannot be made so."""
        key = (cell.split, cell.split_seed, cell.quirks.listing_order)
        if key not in self.known:
            try:
                built = catalogue.build(self.tracks, self.findings, 0.0)
                split = splitting.split(built, cell.split.build(), cell.split_seed, cell.quirks.listing_order)
                self.known[key] = {part: getattr(split, part) for part in PARTS}
            except BenchError:  # planning, which knows the tracks, says what is wrong, if anything is
                self.known[key] = {}
        return self.known[key]

    def slices(self, cell: Cell) -> Counts:
        """By part, each track as long as those whose lengths are known."""
        each = _slices(self.seconds, cell) / max(1, len(self.seconds))
        return {part: round(len(tracks) * each) for part, tracks in self.parts(cell).items()}

    def tested(self, cells: Iterable[Cell]) -> set[str]:
        """Tracks that a cell tests which hears them deformed, too."""
        return {track for cell in cells if cell.robustness for track in self.parts(cell).get("test", ())}


def _planned_slices(planned: Plan) -> Counts:
    return {part: _slices(planned.tracks(part)["seconds"].tolist(), planned.cell) for part in PARTS}


def _slices(seconds: Sequence[float], cell: Cell) -> int:
    """Of tracks of these lengths."""
    if cell.clip_seconds is None:
        return len(seconds)
    rate = cell.features.build().frames_per_second
    frames = (np.asarray(seconds) * rate + 1e-6).astype(int) + (rate > 1)  # frames are centred: one more than hops
    slices = frames // slicing.slice_frames(cell.clip_seconds, rate) - (cell.slice_rule == "legacy")
    return int(np.maximum(slices, 0).sum())


def _cell(
    cell: Cell, title: str, counts: Counts, pace: Pace | None, n_classes: int, earlier: Sequence[Mapping[str, Any]]
) -> CellForecast:
    """What a cell takes, from trials and from finished cells of its kind."""
    most = None
    heard, n_train = sum(counts.values()), counts.get("train", 0)
    results = CELL_BYTES + 4 * COPIES * heard * n_classes
    if pace and cell.trainer:
        results += 4 * COPIES * pace.n_parameters + 4 * heard * pace.width
        if counts and not cell.augment:  # what augmentations cost is known of none
            epoch = n_train * pace.train_seconds + counts["validation"] * pace.predict_seconds
            most = cell.trainer.max_epochs * epoch + heard * pace.predict_seconds
    alike = [record for record in earlier if _kind(record["parameters"]) == _kind(cell.parameters)]
    each = [(record["fit_seconds"] + record["predict_seconds"]) / record["n_train_slices"] for record in alike]
    likely = statistics.median(each) * n_train if each and counts else None
    return CellForecast(title, False, most, likely, _memory(cell, counts, pace), results)


def _memory(cell: Cell, counts: Counts, pace: Pace | None) -> int | None:
    """Of a cell's process; frames count where they are to live in memory, since pages of a file can be given back."""
    if not pace or pace.peak_bytes is None or not cell.trainer or cell.clip_seconds is None:
        return None
    if cell.trainer.residency not in ("ram", "device"):
        return pace.peak_bytes
    feature: Feature = cell.features.build()
    frames = slicing.slice_frames(cell.clip_seconds, feature.frames_per_second)
    held = counts.get("train", 0) + counts.get("validation", 0)
    return pace.peak_bytes + held * frames * feature.n_bins * np.dtype(feature.dtype).itemsize


def _kind(parameters: Mapping[str, Any]) -> str:
    """The same of cells that differ in what they draw alone."""
    told = {name: value for name, value in parameters.items() if name.partition(".")[0] not in PER_DRAW}
    return digest(told)


def _records(out: Path) -> Iterator[dict[str, Any]]:
    """Of the finished cells in a results folder; what is no whole file is passed over."""
    for path in sorted((out / "predictions").glob("*.parquet")):
        try:
            yield json.loads((pq.read_schema(path).metadata or {})[RECORD])
        except (OSError, KeyError, ValueError):
            continue


def _wanted(store: Path, counted: _Counted, cells: Sequence[Cell]) -> dict[str, list[Feature]]:
    """The features that are missing of each track, those of deformed test songs included."""
    tracks, tested = counted.tracks, counted.tested(cells)
    wanted = feature_store.missing(store, tracks, features_of(cells))
    forms = {form.key: form for cell in cells for choice in cell.robustness for form in choice.build().forms.values()}
    plain = {choice: choice.build() for choice in (cell.features for cell in cells if cell.robustness)}
    altered = [Altered(feature, form) for form in forms.values() for feature in plain.values()]
    for track, more in feature_store.missing(store, tracks[tracks["track_id"].isin(tested)], altered).items():
        wanted.setdefault(track, []).extend(more)
    return wanted


def _extraction(
    chosen: Choice,
    tracks: pd.DataFrame,
    wanted: Mapping[str, list[Feature]],
    seconds: Sequence[float],
    kept: Kept | None,
    cores: int,
) -> FeaturesForecast:
    """Of a dataset: tracks in which the same features are missing cost alike."""
    dataset = chosen.build()
    features = {feature.key: feature for some in wanted.values() for feature in some}
    names = " and ".join(dict.fromkeys(type(feature).__name__ for feature in features.values()))
    each = statistics.fmean(seconds) if seconds else 0.0
    groups = Counter(tuple(feature.key for feature in some) for some in wanted.values())
    bytes_of = {key: _size(feature, each) for key, feature in features.items()}
    size, cost = 0.0, 0.0
    measured = rates.extraction(dataset, tracks, features.values(), kept) if kept else Extraction()
    known_size = None not in bytes_of.values() and each > 0
    costs = {keys: measured.of(features[key] for key in keys) for keys in groups}
    for keys, number in groups.items():
        size += number * sum(bytes_of[key] or 0 for key in keys)
        cost += number * each * (costs[keys] or 0.0)
    shards = len(features) * min(len(wanted), feature_store.MOST_SHARDS) * SHARD_BYTES
    total = None if None in costs.values() else cost / (1 if dataset.features else cores)
    return FeaturesForecast(f"{dataset.name}: {names}", len(wanted), int(size) + shards if known_size else None, total)


def _size(feature: Feature, seconds: float) -> float | None:
    """Bytes of a track's frames; `None` where only the data tell how many numbers a row has."""
    if not feature.n_bins:
        return None
    rows = seconds * feature.frames_per_second + 1
    if feature.is_table:
        rows = seconds / feature.row_seconds if feature.row_seconds else 1
    return rows * feature.n_bins * np.dtype(feature.dtype).itemsize
