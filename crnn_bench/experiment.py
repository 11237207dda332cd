"""One cell from catalogue to scores: the only place where all the steps meet."""

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import bundles, classical, dashboard, drawing, networks, report, searching, songs, tables, transfer
from crnn_bench.fitted import Fitted, FittedNetwork, Heard
from crnn_bench.planning import GROUPS, Plan, write_split
from crnn_bench.plugins import Choice
from crnn_bench.records import PARTS, Predictions, Slices
from crnn_bench.results import Result
from crnn_bench.songs import Songs
from crnn_bench.tracking import Run

HEARD = ("heard", "test")
OnStep = Callable[[Mapping[str, Any]], None]


def run(
    planned: Plan,
    cache: Path,
    on_epoch: OnStep,
    on_trial: OnStep = lambda _: None,
    earlier: Path | None = None,
    checkpoint: Path | None = None,
) -> tuple[Result, Fitted]:
    """Fits and predicts; the test part is first seen when the model is final.

    Args:
        planned: the cell.
        cache: folder that remembers which number format is fastest here.
        on_epoch, on_trial: are told each epoch of a network, each trial of a search.
        earlier: results folder in which the quirk `warm_start` looks for weights.
        checkpoint: file in which a network's training keeps its state, and from which a killed one goes on.
    """
    cell, classes = planned.cell, planned.catalogue.classes
    slices = {part: planned.slices(part) for part in PARTS}
    train, validation = slices["train"], slices["validation"]
    started = time.perf_counter()
    model = _fit(planned, train, validation, cache, on_epoch, on_trial, earlier, checkpoint)
    fitted = time.perf_counter()
    heard = {part: model.hear(slices[part]) for part in ("validation", "test")}
    predicting = time.perf_counter() - fitted
    predictions = Predictions.joined(
        [Predictions.from_slices(slices[part], heard[part].probabilities, classes, part) for part in heard]
    )
    heard["train"] = model.hear(train)
    deformed = _deformed(planned, model)
    if cell.quirks.merge_same_names:
        predictions, deformed = predictions.merged_by_file_name(), deformed and deformed.merged_by_file_name()
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
        "kept_together": planned.split.group,
        "songs": planned.songs,
        "n_folds": cell.split.build().n_folds,
        "fit_seconds": fitted - started,
        "slices_per_second": len(train) / (fitted - started),
        "n_bins": train.n_bins,
        "n_frames": int(train.length[0]),
        "predict_seconds": predicting,
        "predict_slices_per_second": len(predictions.table) / predicting,
        **model.details,
    }
    embeddings = _embeddings(slices, heard) if cell.trainer else None
    return Result(predictions, record, embeddings, deformed, _songs(planned, slices, heard)), model


def _fit(
    planned: Plan,
    train: Slices,
    validation: Slices,
    cache: Path,
    on_epoch: OnStep,
    on_trial: OnStep,
    earlier: Path | None,
    checkpoint: Path | None,
) -> Fitted:
    """A network or a baseline that has seen nothing of the test part."""
    cell, n_classes = planned.cell, len(planned.catalogue.classes)
    seed = secrets.randbits(31) if cell.quirks.unseeded else cell.model_seed
    if cell.trainer:
        checkpoint = None if cell.quirks.unseeded else checkpoint  # nothing to go on with: all is drawn anew
        start = transfer.warm(cell, train, n_classes, earlier) if cell.quirks.warm_start else planned.start
        augmenter = planned.augmenter(train)
        network = networks.fit(
            cell.model, train, validation, n_classes, cell.trainer, seed, cache, on_epoch, augmenter, start, checkpoint
        )
        network.details |= transfer.record(start, planned.tracks("test"))
        return network
    baseline = cell.model.build()
    found: dict[str, Any] = {}
    if cell.search:
        kept = planned.groups(train)
        baseline, found = searching.best(baseline, cell.search, train, kept, seed, on_trial)
    fitted = classical.fit(baseline, train, validation, n_classes, seed)
    fitted.details |= found
    return fitted


def keep(planned: Plan, result: Result, model: Fitted, out: Path, log: Run, documents: Mapping[str, Any]) -> None:
    """Stores a cell on disk, draws its figures, and logs all of it, with some JSON documents by file name."""
    scores = tables.scores_of(result)
    saved = _save(planned, result, model, scores, out)  # first: without it the cell is not finished
    log.log_parameters(dashboard.parameters(planned.cell, result.record.get("searched", {})))
    log.log_dataset(planned.dataset.name, planned.catalogue.digest, str(planned.cell.dataset.describe()))
    log.log_metrics(dashboard.metrics(result.record, scores))
    for folder, path in result.save(out).items():
        log.log_files(path, folder=folder)
    log.log_files(*drawing.draw_cell(out, result), folder="figures")
    split = out / "splits" / f"{result.name}.csv"
    write_split(planned, split)
    log.log_files(split, folder="splits")
    documents = {**documents, "scores.json": scores, "rejected.json": planned.catalogue.rejected.to_dict("records")}
    for name, document in documents.items():
        log.log_json(document, name)
    if "search" in result.record:
        search = out / "searches" / f"{result.name}.csv"
        report.write_search(result, search)
        log.log_files(search, folder="searches")
    log.log_files(saved, folder="models")


def _save(planned: Plan, result: Result, model: Fitted, scores: Mapping[str, float], out: Path) -> Path:
    """Writes the model as a file of its own, with its scores on validation songs."""
    heard = {*planned.tracks("train")["content"], *planned.tracks("validation")["content"]}
    checked = {name.removeprefix("validation/"): score for name, score in scores.items() if "validation/" in name}
    about = bundles.describe(planned.cell, result.record, heard, checked)
    if isinstance(model, FittedNetwork):
        path = bundles.path_of(out, result.name)
        bundles.save(path, model.network, {**about, "heard": sorted(heard | model.heard)})
    else:
        path = bundles.path_of(out, result.name, ".skops")
        fitted = {"model": Choice.of(model.baseline).describe(), "temperature": model.temperature}
        bundles.save_baseline(path, model.estimator, {**about, **fitted})
    return path


def _deformed(planned: Plan, model: Fitted) -> Predictions | None:
    """What the final model says of the deformed test songs, as `Result.deformed` has it; none where there are none."""
    classes, told = planned.catalogue.classes, []
    for deformation, strength, slices in planned.deformed():
        if len(slices):
            said = Predictions.from_slices(slices, model.predict_proba(slices), classes, "test")
            how = {"deformation": deformation.name, "strength": float(strength), "unit": deformation.unit}
            table = said.table.assign(**how, undeformed=deformation.undeformed)
            told.append(Predictions(table, classes))
    return Predictions.joined(told) if told else None


def _embeddings(slices: Mapping[str, Slices], heard: Mapping[str, Heard]) -> pd.DataFrame:
    """Where every slice of every part lies."""
    parts = []
    for part in PARTS:
        some, vectors = slices[part], heard[part].vectors
        columns = pd.DataFrame(vectors, columns=[f"e{index}" for index in range(vectors.shape[1])])
        tracks = [some.tracks[index] for index in some.track]
        parts.append(columns.assign(track_id=tracks, part=part, label=some.label))
    return pd.concat(parts, ignore_index=True)


def _songs(planned: Plan, slices: Mapping[str, Slices], heard: Mapping[str, Heard]) -> Songs:
    """Where every song of every part lies, by the mean of its slices."""
    parts = []
    for part in PARTS:
        some, told = slices[part], planned.told(part).set_index("track_id")
        present = np.unique(some.track)
        table = told.loc[[some.tracks[track] for track in present]].reset_index().assign(part=part)
        vectors, probabilities = (_means(of, some.track) for of in (heard[part].vectors, heard[part].probabilities))
        parts.append(Songs(table, vectors, probabilities, planned.catalogue.classes))
    return songs.joined(parts)


def _means(values: NDArray[np.floating], track: NDArray[np.int64]) -> NDArray[np.float32]:
    """(slices, columns) to the mean of each track that has slices; a track's slices lie together."""
    first = np.unique(track, return_index=True)[1]
    sums = np.add.reduceat(values.astype(np.float64), first, axis=0)
    return (sums / np.diff([*first, len(track)])[:, None]).astype(np.float32)
