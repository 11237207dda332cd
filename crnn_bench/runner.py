"""An experiment's cells on an engine: prepare, plan, run what is not finished, report."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from crnn_bench import (
    auditing,
    bundles,
    carrying,
    console,
    dashboard,
    ended,
    feature_store,
    forecast,
    forecasting,
    grouping,
    plans,
    provenance,
    registry,
    report,
    room,
    store,
    tables,
    tracking,
    trained,
)
from crnn_bench.carrying import is_finished
from crnn_bench.cells import Experiment
from crnn_bench.engines import Engine
from crnn_bench.errors import BenchError
from crnn_bench.planning import Plan
from crnn_bench.plugins import Choice
from crnn_bench.preparing import Prepared, crew, deform, is_prepared, listings, prepare
from crnn_bench.results import predictions_path
from crnn_bench.tasks import Invocation, Task
from crnn_bench.terminal import say
from crnn_bench.wording import printable, question


@dataclass(frozen=True)
class Grid:
    """An experiment whose cells are planned.

    Attributes:
        work: the experiment.
        plans: of all its cells, in its order.
        out: results folder.
        tracker: of the experiment.
    """

    work: Experiment
    plans: Sequence[Plan]
    out: Path
    tracker: tracking.Tracker

    @cached_property
    def telling(self) -> Sequence[str]:
        """The parameters that differ among the cells of one model."""
        return grouping.varied([planned.cell.parameters for planned in self.plans])

    @cached_property
    def headings(self) -> dict[str, str]:
        """By the name of each cell its number and title."""
        titles = [(planned.name, dashboard.title(planned.cell, self.telling)) for planned in self.plans]
        return {name: f"[{number}/{len(titles)}] {title}" for number, (name, title) in enumerate(titles, 1)}

    def task(self, planned: Plan, rerun: bool, shared: Invocation) -> Task:
        """A cell, ready to be carried out."""
        tags = dashboard.tags(planned, self.telling) | _commit()
        title = dashboard.title(planned.cell, self.telling)
        return Task(planned, self.headings[planned.name], title, tags, rerun, shared)


def run(work: Experiment, out: Path, uri: str | None, rerun: bool, engine: Engine) -> None:
    """Runs what is not finished, and writes the tables and figures of the whole experiment.

    A cell that fails with a `BenchError` (its loss became NaN, say), or twice unforeseen, is recorded as FAILED, and
    the others go on.

    Args:
        work: the experiment.
        out: the results' folder.
        uri: of the tracking store; `MLFLOW_TRACKING_URI`, or SQLite in `out`, without it.
        rerun: runs finished cells, too.
        engine: that is open, and carries out extraction and cells.

    Raises:
        BenchError: cells failed; names the first, after everything else is done.
    """
    started = time.perf_counter()
    listed = listings(work)  # before anything is made: a missing folder leaves no trace
    out.mkdir(parents=True, exist_ok=True)
    uri = ended.uri_of(out, uri)
    tracker = tracking.connect(uri, work.name)
    if not is_prepared(work, listed, feature_store.default_root()):
        _refuse_what_cannot_fit(work, listed, out)
    finished = {} if rerun else tracker.finished_all()
    with crew(engine) as extractors:
        prepared = prepare(work, listed, extractors)
        grid = Grid(work, plans.plan(work, prepared, finished), out, tracker)
        todo = [planned for planned in grid.plans if not is_finished(planned, finished, tracker, out)]
        deform(grid.plans, prepared, extractors)
    left = {planned.name for planned in todo}
    if left:
        _refuse_what_cannot_fit(work, listed, out, grid.plans, [one for one in grid.plans if one.name not in left])
    ended.tell_finished(out, grid.headings, left)
    failures: list[str] = []
    best = ""
    if todo or not ended.is_current(out, work, [planned.name for planned in grid.plans]):
        again = {planned.name for planned in todo if rerun or planned.identity in finished}  # or its files are lost
        failures, best = _invoke(grid, todo, again, prepared, engine)
    of_all = f"{len(failures)} of {len(grid.plans)} cells failed"
    if len(failures) < len(grid.plans):
        answer = ended.Answer(*console.summary(out), console.published_numbers(out))
        answer.tell(out, uri, f"{len(grid.plans)} cells in {time.perf_counter() - started:.0f} s")
        if not failures:
            ended.note(out, work, uri, grid.headings, answer)
    if best:
        say(f"best on validation songs: {best}")
    if failures:
        raise BenchError(f"{of_all}: {failures[0]}")


def foresee(work: Experiment, out: Path, uri: str | None, engine: Engine) -> None:
    """Says what is done and to do, and what that will take; makes nothing but a note of what it measured.

    Args:
        work, out, uri, engine: as `run` takes them.

    Raises:
        BenchError: it cannot fit.
    """
    listed, root = listings(work), feature_store.default_root()
    tracker = tracking.existing(ended.uri_of(out, uri), work.name)
    finished = tracker.finished_all() if tracker else {}
    planned = plans.of_cells(work.cells, Prepared(listed, {}, root)) if is_prepared(work, listed, root) else []
    here = {one.identity for one in planned if predictions_path(out, one.name).is_file()}
    at_once = engine.workers if engine.sees_one_disk else 1  # what other machines have room for is not known here
    told = forecasting.forecast(work, listed, root, out, room.here(root, out), planned, here & set(finished), at_once)
    forecast.tell(told)
    if told.faults:
        raise BenchError(told.faults[0])


def _refuse_what_cannot_fit(
    work: Experiment,
    listed: Mapping[Choice, pd.DataFrame],
    out: Path,
    plans: Sequence[Plan] = (),
    done: Sequence[Plan] = (),
) -> None:
    """Before a long extraction or training, not in its midst."""
    root = feature_store.default_root()
    here, finished = room.here(root, out), {planned.identity for planned in done}
    told = forecasting.forecast(work, listed, root, out, here, plans, finished, trials=False)
    if told.faults:
        raise BenchError(told.faults[0])


def _invoke(
    grid: Grid, todo: Sequence[Plan], again: Collection[str], prepared: Prepared, engine: Engine
) -> tuple[list[str], str]:
    """Carries out cells and writes the report, in a run of MLflow; returns what failed, and the best cell's name."""
    started = time.perf_counter()
    out, tracker, failures = grid.out, grid.tracker, list[str]()
    rejected = {row.track_id: row.reason for planned in grid.plans for row in planned.catalogue.rejected.itertuples()}
    report.begin(out, grid.work, list(grid.headings), rejected)
    datasets = ", ".join(sorted({planned.dataset.name for planned in grid.plans}))
    verdict, audited = auditing.of_run(grid.plans, prepared, out)
    tags = {"kind": "experiment", "dataset": datasets, "engine": engine.words, **verdict, **_commit()}
    with tracker.parent(f"{grid.work.name}: {len(grid.plans)} cells", tags) as parent:
        tracker.describe(question(grid.work.text), dashboard.views(grid.telling))
        parent.log_files(*audited)
        documents = {"experiment.json": {"yaml": grid.work.text, "set": list(grid.work.overrides)}}
        shared = Invocation(tracker, parent.run_id, out.absolute(), grid.work.name, documents, engine.in_process)
        waiting = [grid.task(planned, planned.name in again, shared) for planned in todo]
        try:
            for failure in carrying.carry_out(waiting, engine):
                failures.append(failure)
        finally:  # whatever ended the loop, what is finished gets its tables
            _keep_tables(grid.plans, prepared, out, parent)
            seconds = time.perf_counter() - started + sum(s.get("extract_seconds", 0) for s in prepared.speed.values())
            parent.log_metrics({"cells": len(grid.plans), "failed_cells": len(failures), "seconds": seconds})
        best = ""
        if len(failures) < len(grid.plans):
            best = _register_best(grid.plans, grid.work, out, tracker)
            summary = printable(tables.summary(grouping.groups(report.stored(out))))[0]
            parent.describe(dashboard.note(grid.work.text, summary, str(out), best))
    return failures, best


def _keep_tables(grid: Sequence[Plan], prepared: Prepared, out: Path, parent: tracking.Run) -> None:
    """Writes the report of what is finished, and logs it, the aggregates and the speed of extraction."""
    if any(predictions_path(out, planned.name).is_file() for planned in grid):
        parent.log_files(*report.write(out))
        parent.log_metrics(tables.aggregates(grouping.groups(report.stored(out))))
    for chosen, speed in prepared.speed.items():
        parent.log_metrics({f"{chosen.label}/{name}": value for name, value in speed.items()})


def _register_best(grid: Sequence[Plan], work: Experiment, out: Path, tracker: tracking.Tracker) -> str:
    """Registers the finished cell that is the best on validation songs; tells its address and name, if there is one."""
    finished = tracker.finished_all()
    runs = {planned.name: finished[planned.identity] for planned in grid if planned.identity in finished}
    paths = [bundles.path_of(out, name, ending) for name in runs for ending in bundles.ENDINGS]
    path = trained.best(path for path in paths if path.is_file())
    if not path:
        return ""
    about = bundles.load(path).about
    name, scores = about["name"], {score: f"{value:.3f}" for score, value in about.get("validation", {}).items()}
    told = f"{name}: of {work.name}'s cells the best on its validation songs"
    told += f" (weighted F1 {scores['song/f1']})" if scores else ""
    tags = {"cell": name, **{f"validation/{score}": value for score, value in scores.items()}}
    try:
        address = store.patiently(
            lambda: registry.register(work.name, runs[name], path, about["classes"], told, tags, tracker.uri),
            tracker.uri,
        )
    except store.STORE_FAULTS as error:  # a server without a registry, say: the results are there all the same
        say(f"{name} is the best on validation songs, but cannot be registered: {store.reason(error)}")
        return ""
    return f"{name} ({address})"


def _commit() -> dict[str, str]:
    """The tag that MLflow shows as a link to the code."""
    commit = provenance.commit()
    return {"mlflow.source.git.commit": commit} if commit else {}
