"""One cell from catalogue to scores: the only place where all the steps meet."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import catalogue as catalogues
from crnn_bench import classical, networks, report, searching, slicing, splitting, tables
from crnn_bench.cells import Cell
from crnn_bench.datasets import Dataset
from crnn_bench.feature_store import FeatureStore
from crnn_bench.features import Feature
from crnn_bench.plugins import Choice, digest
from crnn_bench.records import PARTS, Catalogue, Predictions, Slices, Split
from crnn_bench.results import Result
from crnn_bench.splits import file_split, groups
from crnn_bench.tracking import Run

Model = networks.FittedNetwork | classical.FittedBaseline
GROUPS, HEARD = ("album", "artist"), ("heard", "test")
OnStep = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """A cell whose data is there: everything that decides its predictions.

    Attributes:
        cell: the point of the grid.
        dataset, feature: built.
        catalogue: the usable tracks.
        split: proved not to leak.
        store: holds the features of every track.
    """

    cell: Cell
    dataset: Dataset
    feature: Feature
    catalogue: Catalogue
    split: Split
    store: FeatureStore

    @property
    def identity(self) -> str:
        """Hash of the cell, the audio, the split and what it keeps together, the feature and one's own code.

        A finished cell of this identity is not run again.
        """
        split = [self.split.table.to_numpy().tolist(), self.split.group, self.split.validation_group]
        code = [choice.code for choice in (self.cell.dataset, self.cell.features, self.cell.split, self.cell.model)]
        return digest([self.cell.describe(), self.catalogue.digest, split, self.feature.key, code])

    @property
    def name(self) -> str:
        """Names the cell's files: readable, and unique by its end."""
        clip = "songs" if self.cell.clip_seconds is None else f"{self.cell.clip_seconds:g}s"
        fold = self.cell.split.arguments.get("fold")
        split = self.cell.split.label + ("" if fold is None else f"-fold{fold}")
        model = self.cell.model.label
        if not self.cell.trainer and self.cell.model.build().features is None:
            model += f"-{self.cell.features.label}"
        return f"{model}-{split}-{clip}-seed{self.cell.model_seed}-{self.identity[:8]}"

    def heard(self, group: str) -> tuple[int, int]:
        """How many albums (or artists) of test songs are heard in training, and how many test ones there are.

        0 of 0 where none is known, and for artists where they are the labels.
        """
        table = self.catalogue.table[self.catalogue.table[group] != ""]
        if group == "artist" and (table["artist"] == table["label"]).all():
            return 0, 0
        names = groups(table, group)
        train, test = (set(names[table["track_id"].isin(getattr(self.split, part))]) for part in ("train", "test"))
        return len(test & train), len(test)

    @property
    def unused(self) -> list[str]:
        """Usable tracks that the split puts into no part."""
        return sorted(set(self.catalogue.table["track_id"]) - set(self.split.table["track_id"]))

    def slices(self, part: str) -> Slices:
        """The slices of one part."""
        tracks = self.catalogue.table[self.catalogue.table["track_id"].isin(getattr(self.split, part))]
        arrays = self.store.arrays(tracks)
        rate, columns = self.feature.frames_per_second, self.feature.columns
        cell = self.cell
        return slicing.cut(tracks, arrays, self.catalogue.classes, rate, cell.clip_seconds, cell.slice_rule, columns)

    def groups(self, slices: Slices) -> NDArray[np.object_]:
        """(slices,) names of what the split keeps together: their track, album or artist."""
        table = self.catalogue.table
        names = dict(zip(table["track_id"], groups(table, self.split.group), strict=True))
        return np.array([names[slices.tracks[track]] for track in slices.track], dtype=object)


def plan(cell: Cell, tracks: pd.DataFrame, root: Path) -> Plan:
    """Checks that a cell can be run, before anything is trained.

    Args:
        cell: to be run.
        tracks: the dataset's listing; every track's features are stored.
        root: of the feature stores.

    Raises:
        BenchError: too few labels, an impossible split, a slice too short for the network.
    """
    dataset, feature = cell.dataset.build(), cell.features.build()
    store = FeatureStore(root, feature)
    least = slicing.least_frames(cell.clip_seconds, feature.frames_per_second, cell.slice_rule)
    catalogue = catalogues.build(tracks, store.lookup(tracks), cell.min_seconds, least)
    split = splitting.split(catalogue, cell.split.build(), cell.split_seed)
    planned = Plan(cell, dataset, feature, catalogue, split, store)
    if cell.trainer:
        networks.check(cell.model, planned.slices("test"), len(catalogue.classes))
    else:
        classical.check(cell.model)
    if cell.search:
        trained = catalogue.table[catalogue.table["track_id"].isin(split.train)]
        searching.check(trained["label"], groups(trained, split.group), split.group)
    return planned


def run(planned: Plan, cache: Path, on_epoch: OnStep, on_trial: OnStep = lambda _: None) -> tuple[Result, Model]:
    """Fits and predicts; the test part is first seen when the model is final.

    Args:
        planned: the cell.
        cache: folder that remembers which number format is fastest here.
        on_epoch, on_trial: are told each epoch of a network, each trial of a search.
    """
    cell, classes = planned.cell, planned.catalogue.classes
    slices = {part: planned.slices(part) for part in PARTS}
    train, validation = slices["train"], slices["validation"]
    started = time.perf_counter()
    model: Model
    if cell.trainer:
        model = networks.fit(
            cell.model, train, validation, len(classes), cell.trainer, cell.model_seed, cache, on_epoch
        )
    else:
        baseline = cell.model.build()
        found: dict[str, Any] = {}
        if cell.search:
            kept = planned.groups(train)
            baseline, found = searching.best(baseline, cell.search, train, kept, cell.model_seed, on_trial)
        model = classical.fit(baseline, train, validation, len(classes), cell.model_seed)
        model.details |= found
    fitted = time.perf_counter()
    predictions = Predictions.joined(
        [Predictions.from_slices(slices[p], model.predict_proba(slices[p]), classes, p) for p in ("validation", "test")]
    )
    predicting = time.perf_counter() - fitted
    record = {
        "name": planned.name,
        "identity": planned.identity,
        "dataset": planned.dataset.name,
        "parameters": cell.parameters,
        "classes": list(classes),
        **{f"n_{part}_slices": len(slices[part]) for part in PARTS},
        **{f"n_{part}_songs": len(getattr(planned.split, part)) for part in PARTS},
        **{f"n_{what}_{group}s": n for group in GROUPS for what, n in zip(HEARD, planned.heard(group), strict=True)},
        "n_rejected": len(planned.catalogue.rejected),
        "n_folds": cell.split.build().n_folds,
        "fit_seconds": fitted - started,
        "slices_per_second": len(train) / (fitted - started),
        "n_bins": train.n_bins,
        "n_frames": int(train.length[0]),
        "predict_seconds": predicting,
        "predict_slices_per_second": len(predictions.table) / predicting,
        **model.details,
    }
    return Result(predictions, record, _embeddings(model, slices)), model


def keep(planned: Plan, result: Result, model: Model, out: Path, log: Run, documents: Mapping[str, Any]) -> None:
    """Stores a cell on disk, draws its figures, and logs all of it, with some JSON documents by file name."""
    log.log_parameters(planned.cell.parameters)
    log.log_dataset(planned.dataset.name, planned.catalogue.digest, str(planned.cell.dataset.describe()))
    numbers = {name: value for name, value in result.record.items() if isinstance(value, (int, float))}
    log.log_metrics(numbers | tables.scores_of(result))
    files = result.save(out)
    log.log_files(*files[:1], folder="predictions")
    log.log_files(*files[1:], folder="embeddings")
    log.log_files(*report.draw_cell(out, result), folder="figures")
    split = out / "splits" / f"{result.name}.csv"
    write_split(planned, split)
    log.log_files(split, folder="splits")
    for name, document in documents.items():
        log.log_json(document, name)
    log.log_json(planned.catalogue.rejected.to_dict("records"), "rejected.json")
    classes = result.record["classes"]
    about = {"classes": classes, "parameters": planned.cell.parameters, "split": digest(planned.split.table.to_csv())}
    if isinstance(model, networks.FittedNetwork):
        shape = (result.record["n_bins"], result.record["n_frames"])
        log.log_network(model.network, shape, len(classes), about)
    else:
        if "search" in result.record:
            search = out / "searches" / f"{result.name}.csv"
            report.write_search(result, search)
            log.log_files(search, folder="searches")
            log.log_parameters({f"searched.{name}": value for name, value in result.record["searched"].items()})
        about |= {"temperature": model.temperature, "baseline": Choice.of(model.baseline).describe()}
        log.log_estimator(model.estimator, model.shape, about)


def write_split(planned: Plan, path: Path) -> None:
    """Writes a plan's split as a frozen CSV, with its strategy, seed and checksum."""
    columns = ["track_id", "label", "artist", "album"]
    parts = planned.catalogue.table[columns].merge(planned.split.table, on="track_id", how="inner")
    chosen = f"{planned.cell.split.label} {planned.cell.split.describe()['init_args']}"
    counts = ", ".join(f"{len(getattr(planned.split, part))} {part}" for part in PARTS)
    comments = [f"{chosen}, seed {planned.cell.split_seed}", f"{planned.dataset.name}: {counts}"]
    file_split.write(path, parts, comments, (planned.split.group, planned.split.validation_group))


def _embeddings(model: Model, slices: Mapping[str, Slices]) -> pd.DataFrame | None:
    """Bottleneck vectors of every slice of every part; none for a classical model."""
    if not isinstance(model, networks.FittedNetwork):
        return None
    tables = []
    for part, some in slices.items():
        vectors = model.embed(some)
        columns = pd.DataFrame(vectors, columns=[f"e{index}" for index in range(vectors.shape[1])])
        tracks = [some.tracks[index] for index in some.track]
        tables.append(columns.assign(track_id=tracks, part=part, label=some.label))
    return pd.concat(tables, ignore_index=True)
