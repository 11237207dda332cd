"""A grid's cells, carried out on an engine, each once."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from crnn_bench import engines, store, tasks
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
                    _tell(outcome.task, outcome.answer)
        if taken and not told_of_others:
            say(f"{len(taken)} cells are being run by others, e.g. {taken[0].title}; waiting for them")
            told_of_others = True
        waiting = _left(taken)


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


def _tell(task: Task, told: Told) -> None:
    """Says that a cell is finished, once its files are here."""
    shared = task.invocation
    if not predictions_path(shared.out, task.planned.name).is_file():
        identity = task.planned.identity
        is_finished(task.planned, {identity: shared.tracker.finished(identity)}, shared.tracker, shared.out)
    if told.end == "before":
        say(f"{task.heading}: finished by others")
    else:
        say(f"    {told.words}" if shared.aloud else f"{task.heading}: {told.words}")


def _left(taken: Sequence[Task]) -> list[Task]:
    """Waits until one of the cells that others are at is so no more; returns those that nobody has finished."""
    while taken:
        standing = [task.invocation.tracker.standing(task.planned.identity) for task in taken]
        if set(standing) != {"taken"}:
            for task, now in zip(taken, standing, strict=True):
                if now == "finished":
                    _tell(task, Told("before"))
            return [task for task, now in zip(taken, standing, strict=True) if now != "finished"]
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
