"""An experiment's cells, one after another: prepare, plan, run what is not finished, report."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from crnn_bench import (
    auditing,
    bundles,
    console,
    dashboard,
    experiment,
    grouping,
    planning,
    provenance,
    registry,
    report,
    store,
    tables,
    tracking,
    trained,
)
from crnn_bench.cells import Experiment
from crnn_bench.errors import BenchError
from crnn_bench.planning import Plan
from crnn_bench.plugins import digest
from crnn_bench.preparing import Prepared, deform, listings, prepare, tell_rejected
from crnn_bench.results import predictions_path
from crnn_bench.terminal import say, show
from crnn_bench.wording import printable, question

CURVES = ("train_loss", "validation_loss", "validation_accuracy", "slices_per_second")  # of each epoch, in MLflow
FOLDERS = ("embeddings", "deformed", "songs", "figures", "models", "searches", "splits", "predictions")  # of a cell


def plan(work: Experiment, prepared: Prepared) -> list[Plan]:
    """Plans every cell, so that what cannot run is refused before anything is trained."""
    plans = [planning.plan(cell, prepared.listings[cell.dataset], prepared.root) for cell in work.cells]
    tell_rejected({track: why for planned in plans for track, why in planned.catalogue.left_out_here.items()})
    _prove_folds(plans)
    unused = {planned.cell.split: planned.unused for planned in plans if planned.unused}
    for strategy, tracks in unused.items():
        say(f"{strategy.label} {strategy.describe()['init_args']} leaves {len(tracks)} tracks unused, e.g. {tracks[0]}")
    return plans


def _prove_folds(plans: Sequence[Plan]) -> None:
    """Folds are pooled into one score, so none may test what another one tests."""
    tested: dict[tuple[str, str], str] = {}
    for planned in plans:
        cell = planned.cell.describe()
        fold = cell["split"]["init_args"].pop("fold", None)
        key = digest(cell)
        for track in planned.split.test if fold is not None else ():
            if tested.setdefault((key, track), planned.identity) != planned.identity:
                raise BenchError(f"{planned.cell.split.label}: {track} is tested by more than one fold")


def write_splits(work: Experiment, csv: Path) -> None:
    """Writes the split of the first cell, or of each of its folds, as CSV.

    Args:
        work: an experiment with one split strategy and seed.
        csv: the file; `{fold}` in it stands for the fold.
    """
    prepared = prepare(work, listings(work))
    cells = {cell.split.arguments.get("fold"): cell for cell in reversed(work.cells)}
    if len(cells) > 1 and "{fold}" not in str(csv):
        raise BenchError(
            f"{work.cells[0].split.label} has {len(cells)} folds; put {{fold}} into the name: --csv 'NAME_{{fold}}.csv'"
        )
    for fold, cell in sorted(cells.items(), key=lambda item: item[0] or 0):
        planned = planning.plan(cell, prepared.listings[cell.dataset], prepared.root)
        path = Path(str(csv).replace("{fold}", str(fold)))
        planning.write_split(planned, path)
        tell_rejected(planned.catalogue.left_out_here)
        say(f"{path}: {_songs(planned)}")


def run(work: Experiment, out: Path, uri: str | None, rerun: bool) -> None:
    """Runs what is not finished, and writes the tables and figures of the whole experiment.

    A cell that fails with a `BenchError` (its loss became NaN, say) is recorded as FAILED, and the others go on.

    Args:
        work: the experiment.
        out: the results' folder.
        uri: of the tracking store; `MLFLOW_TRACKING_URI`, or SQLite in `out`, without it.
        rerun: runs finished cells, too.

    Raises:
        BenchError: cells failed; names the first, after everything else is done.
    """
    started = time.perf_counter()
    listed = listings(work)  # before anything is made: a missing folder leaves no trace
    out.mkdir(parents=True, exist_ok=True)
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or store_uri(out)
    tracker = tracking.connect(uri, work.name)
    prepared = prepare(work, listed)
    plans = plan(work, prepared)
    deform(plans, prepared)
    failures: list[str] = []
    telling = grouping.varied([planned.cell.parameters for planned in plans])
    rejected = {row.track_id: row.reason for planned in plans for row in planned.catalogue.rejected.itertuples()}
    others = {path.stem for path in (out / "predictions").glob("*.parquet")} - {planned.name for planned in plans}
    if others:
        say(f"{len(others)} finished cells in {out} are not of this grid: kept, but not in its tables (see --out)")
    report.begin(out, work, [planned.name for planned in plans], rejected)
    datasets = ", ".join(sorted({planned.dataset.name for planned in plans}))
    verdict, audited = auditing.of_run(plans, prepared, out)
    tags = {"kind": "experiment", "dataset": datasets, **verdict, **_commit()}
    with tracker.parent(f"{work.name}: {len(plans)} cells", tags) as parent:
        tracker.describe(question(work.text), dashboard.views(telling))
        parent.log_files(*audited)
        try:
            for number, planned in enumerate(plans, 1):
                name = dashboard.title(planned.cell, telling)
                heading = f"[{number}/{len(plans)}] {name}"
                if not rerun and _is_finished(planned, tracker, out):
                    say(f"{heading}: finished before")
                    continue
                try:
                    tags = dashboard.tags(planned, telling) | _commit()
                    _run_cell(planned, heading, work, out, tracker.child(name, planned.identity, tags))
                except BenchError as error:
                    say(f"    failed: {error}")
                    failures.append(f"{name}: {error}")
        finally:  # whatever ended the loop, what is finished gets its tables
            _keep_tables(plans, prepared, out, parent)
            seconds = time.perf_counter() - started
            parent.log_metrics({"cells": len(plans), "failed_cells": len(failures), "seconds": seconds})
        if len(failures) < len(plans):
            best = _register_best(plans, work, out, tracker)
            summary = printable(tables.summary(grouping.groups(report.stored(out))))[0]
            parent.describe(dashboard.note(work.text, summary, str(out), best))
    fault = f"{len(failures)} of {len(plans)} cells failed: {failures[0]}" if failures else ""
    if len(failures) == len(plans):
        raise BenchError(fault)
    _tell_results(out, uri, f"{len(plans)} cells in {time.perf_counter() - started:.0f} s")
    if best:
        say(f"best on validation songs: {best}")
    if failures:
        raise BenchError(fault)


def _keep_tables(plans: Sequence[Plan], prepared: Prepared, out: Path, parent: tracking.Run) -> None:
    """Writes the report of what is finished, and logs it, the aggregates and the speed of extraction."""
    if any(predictions_path(out, planned.name).is_file() for planned in plans):
        parent.log_files(*report.write(out))
        parent.log_metrics(tables.aggregates(grouping.groups(report.stored(out))))
    for chosen, speed in prepared.speed.items():
        parent.log_metrics({f"{chosen.label}/{name}": value for name, value in speed.items()})


def _is_finished(planned: Plan, tracker: tracking.Tracker, out: Path) -> bool:
    """Whether a run finished the cell and its files are here, or could be fetched."""
    known = tracker.finished(planned.identity)
    if known and not predictions_path(out, planned.name).is_file():
        tracker.fetch(known, FOLDERS, out)
    return known is not None and predictions_path(out, planned.name).is_file()


def _register_best(plans: Sequence[Plan], work: Experiment, out: Path, tracker: tracking.Tracker) -> str:
    """Registers the finished cell that is the best on validation songs; tells its address and name, if there is one."""
    runs = {planned.name: tracker.finished(planned.identity) for planned in plans}
    paths = [bundles.path_of(out, name, ending) for name in runs if runs[name] for ending in bundles.ENDINGS]
    path = trained.best(path for path in paths if path.is_file())
    if not path:
        return ""
    about = bundles.load(path).about
    name, scores = about["name"], {score: f"{value:.3f}" for score, value in about.get("validation", {}).items()}
    told = f"{name}: of {work.name}'s cells the best on its validation songs"
    told += f" (weighted F1 {scores['song/f1']})" if scores else ""
    tags = {"cell": name, **{f"validation/{score}": value for score, value in scores.items()}}
    try:
        address = registry.register(work.name, runs[name] or "", path, about["classes"], told, tags, tracker.uri)
    except store.STORE_FAULTS as error:  # a server without a registry, say: the results are there all the same
        say(f"{name} is the best on validation songs, but cannot be registered: {store.reason(error)}")
        return ""
    return f"{name} ({address})"


def _tell_results(out: Path, uri: str, cost: str) -> None:
    table, shared = console.summary(out)
    say("Weighted F1 on test songs, mean [95% interval] over seeds:")
    show(table)
    say(shared)
    theirs = console.published_numbers(out)
    if theirs:
        say("Published numbers of this dataset and protocol beside ours (mean over seeds):")
        show(theirs)
    say(cost)
    say(f"report: {out / 'report.html'}")
    say(f"MLflow: {uri}" + (f" (crnn-bench ui {out})" if uri == store_uri(out) else ""))


def _run_cell(
    planned: Plan, heading: str, work: Experiment, out: Path, child: AbstractContextManager[tracking.Run]
) -> None:
    """Runs a cell in a child run, which ends FINISHED only when everything is stored."""
    with child as log:
        say(f"{heading}: {_songs(planned)}")

        def on_epoch(epoch: Mapping[str, float]) -> None:
            log.log_epoch({name: epoch[name] for name in CURVES}, int(epoch["epoch"]))
            losses = f"training loss {epoch['train_loss']:.3f}, validation loss {epoch['validation_loss']:.3f}"
            say(f"    epoch {epoch['epoch']:.0f}: {losses}, {epoch['slices_per_second']:.0f} slices/s")

        result, model = experiment.run(planned, planned.store.root.parent, on_epoch, _tell_trial, out)
        result = replace(result, record={**result.record, "run_id": log.run_id, "experiment": work.name})
        documents = {
            "environment.json": provenance.environment(),
            "experiment.json": {"yaml": work.text, "set": list(work.overrides)},
        }
        experiment.keep(planned, result, model, out, log, documents)
    numbers = tables.scores_of(result)
    told = ", ".join(f"{level} {numbers[f'{level}/f1']:.3f}" for level in grouping.LEVELS if f"{level}/f1" in numbers)
    record = result.record
    kept = f"epoch {record['best_epoch']} of 0 to {record['epochs'] - 1} kept; " if "epochs" in record else ""
    remark = f"; {record['remark']}" if "remark" in record else ""
    say(f"    weighted F1: {told}; {kept}{record['fit_seconds']:.1f} s{remark}")


def _tell_trial(trial: Mapping[str, Any]) -> None:
    score = f"{trial['mean']:.3f} ± {trial['std']:.3f}" if "fault" not in trial else f"refused ({trial['fault']})"
    arguments = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial["arguments"].items()
    )
    say(f"    trial {trial['trial']} of {trial['of']}: weighted F1 {score}; {arguments}")


def _songs(planned: Plan) -> str:
    """How many songs are in each part, and how much of the test's production is known."""
    split = planned.split
    words = [f"{len(split.train)} songs train, {len(split.validation)} validate, {len(split.test)} test"]
    for group in planning.GROUPS:
        heard, tested = planned.heard(group)
        words += [f"{heard} of {tested} test {group}s are heard in training"] if tested else []
    return "; ".join(words)


def store_uri(out: Path) -> str:
    """The SQLite store in a results folder."""
    return f"sqlite:///{(out / 'mlflow.db').resolve()}"


def _commit() -> dict[str, str]:
    """The tag that MLflow shows as a link to the code."""
    commit = provenance.commit()
    return {"mlflow.source.git.commit": commit} if commit else {}
