"""A grid's cells, carried out on an engine, each once."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from crnn_bench import engines, results, store, tasks
from crnn_bench.engines import Engine, Outcome
from crnn_bench.errors import BenchError
from crnn_bench.planning import Plan
from crnn_bench.results import predictions_path
from crnn_bench.tasks import Task, Told
from crnn_bench.terminal import say
from crnn_bench.tracking import Run, Tracker
from crnn_bench.whole import replacing

FOLDERS = ("embeddings", "deformed", "songs", "figures", "models", "searches", "splits", "predictions")  # of a cell
SECONDS_BETWEEN_LOOKS = 5.0  # at cells that somebody else is at


def carry_out(waiting: Sequence[Task], engine: Engine) -> Iterator[str]:
    """Runs the cells of one invocation until all are finished, here or elsewhere, and says so of each.

    Args:
        waiting: the cells.
        engine: that is open.

    Yields:
        The name of each cell that fails, and why.

    Raises:
        BenchError: the tracking store stays away.
    """
    if waiting and not engine.in_process:
        say(f"{len(waiting)} cells on {engine.words}")
    if not engine.sees_one_disk:
        engine.lay_out(sorted({file for task in waiting for file in task.planned.files}))
    in_order = any(task.planned.cell.quirks.warm_start for task in waiting)  # each begins with what is there already
    told_of_others = False
    while waiting:
        taken: list[Task] = []
        with closing(engines.carry_out(engine, tasks.carry_out, waiting, _release, in_order)) as outcomes:
            for outcome in outcomes:
                if outcome.answer is None:
                    words = _fault(outcome)
                    say(f"    failed: {words}" if engine.in_process else f"{outcome.task.heading}: failed: {words}")
                    yield f"{outcome.task.title}: {words}"
                elif outcome.answer.end == "away":
                    store.give_up(outcome.task.invocation.tracker.uri)
                    raise BenchError(outcome.answer.words)
                elif outcome.answer.end == "taken":
                    taken.append(outcome.task)
                else:
                    lost = _tell(outcome.task, outcome.answer, engine)
                    if lost:
                        yield lost
        if taken and not told_of_others:
            say(f"{len(taken)} cells are being run by others, e.g. {taken[0].title}; waiting for them")
            told_of_others = True
        waiting = []
        for task, standing in _left(taken):
            if standing == "finished" and not task.rerun:
                lost = _tell(task, Told("before"), engine)
                if lost:
                    yield lost
            else:
                waiting.append(task)


def is_finished(planned: Plan, finished: Mapping[str, str], tracker: Tracker, out: Path) -> bool:
    """Whether a run finished the cell and its files are here, or could be fetched.

    Args:
        planned: the cell.
        finished: runs of finished cells by identity.
        tracker: from which files are fetched.
        out: where they belong.
    """
    known = finished.get(planned.identity)
    if known and not predictions_path(out, planned.name).is_file():
        tracker.fetch(known, FOLDERS, out)
    return known is not None and predictions_path(out, planned.name).is_file()


def _release(task: Task, claimant: str, words: str) -> None:
    task.invocation.tracker.release(claimant, words)


def _tell(task: Task, told: Told, engine: Engine) -> str:
    """Says that a cell is finished, once its files are here; returns what is wrong where they cannot be had."""
    shared, name = task.invocation, task.planned.name
    fault = ""
    if not _is_here(task, told, engine):
        try:
            shared.tracker.fetch(told.run or shared.tracker.finished(task.planned.identity), FOLDERS, shared.out)
        except BenchError as error:
            fault = str(error)
    if fault or not predictions_path(shared.out, name).is_file():
        remedy = f"let all machines see {shared.out}, or track to a server that keeps files"
        words = f"finished, but its files are not here; {remedy}" + (f" ({fault})" if fault else "")
        say(f"{task.heading}: {words}")
        return f"{task.title}: {words}"
    if told.end == "before":
        say(f"{task.heading}: finished by others")
    else:
        say(f"    {told.words}" if shared.aloud else f"{task.heading}: {told.words}")
    return ""


def _is_here(task: Task, told: Told, engine: Engine) -> bool:
    """Whether the files in the results folder are there, and of the run that finished the cell just now."""
    out, name = task.invocation.out, task.planned.name
    if not predictions_path(out, name).is_file():
        return False
    return engine.sees_one_disk or not told.run or results.load(out, name).record["run_id"] == told.run


def _left(taken: Sequence[Task]) -> list[tuple[Task, str]]:
    """Waits until one of the cells that others are at is so no more; returns how each stands."""
    while taken:
        standing = [task.invocation.tracker.standing(task.planned.identity) for task in taken]
        if set(standing) != {"taken"}:
            return list(zip(taken, standing, strict=True))
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return []


def _fault(outcome: Outcome[Task, Told]) -> str:
    """Why a cell failed, in a line; where the fault came up is written to a file."""
    words = " ".join(str(outcome.fault).split())
    if isinstance(outcome.fault, BenchError):
        return words
    words = f"{outcome.attempts} times: {words}"
    notes = getattr(outcome.fault, "__notes__", [])
    if notes:
        path = outcome.task.invocation.out / "faults" / f"{outcome.task.planned.name}.txt"
        with replacing(path) as part:
            part.write_text("\n".join(notes), encoding="utf-8")
        Run(outcome.task.invocation.tracker.uri, outcome.task.invocation.parent).log_files(path, folder="faults")
        words += f" (see {path})"
    return words
