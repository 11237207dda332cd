"""A cell as a task that any process, on any machine, can carry out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from crnn_bench import experiment, grouping, provenance, tables, terminal
from crnn_bench.claims import FinishedBefore, Lost, Taken
from crnn_bench.planning import Plan
from crnn_bench.results import Result
from crnn_bench.store import StoreError
from crnn_bench.terminal import say
from crnn_bench.tracking import Run, Tracker

CURVES = ("train_loss", "validation_loss", "validation_accuracy", "slices_per_second")  # of each epoch, in MLflow


@dataclass(frozen=True)
class Invocation:
    """What the cells of one `run` have in common.

    Attributes:
        tracker: where they are claimed.
        parent: run of the invocation.
        out: results folder.
        experiment: its name.
        documents: JSON that each cell's run keeps, by file name.
        aloud: whether a cell says what it does, epoch by epoch.
    """

    tracker: Tracker
    parent: str
    out: Path
    experiment: str
    documents: Mapping[str, Any]
    aloud: bool


@dataclass(frozen=True)
class Task:
    """A cell to be claimed and run.

    Attributes:
        planned: the cell.
        heading: its number and name, as it is said.
        title: name of its run.
        tags: of its run.
        rerun: runs it although somebody had finished it before this invocation.
        invocation: that it belongs to.
    """

    planned: Plan
    heading: str
    title: str
    tags: Mapping[str, str]
    rerun: bool
    invocation: Invocation = field(repr=False)


@dataclass(frozen=True)
class Told:
    """How a cell's task ended, if well.

    Attributes:
        end: `finished`; `before`, where somebody had finished it; `taken`, where somebody else is at it; `away`, where
            the tracking store does not answer.
        words: about it, for people.
        run: that finished it here.
    """

    end: Literal["finished", "before", "taken", "away"]
    words: str = ""
    run: str = ""


def carry_out(task: Task, claimant: str) -> Told:
    """Claims a cell and runs it; its run ends FINISHED only when everything is stored.

    Args:
        task: the cell.
        claimant: name of this attempt, by which its claim is released should this process die.

    Raises:
        BenchError: the cell cannot be run.
    """
    terminal.be_quiet()
    shared = task.invocation
    claim = shared.tracker.claim(
        task.title, task.planned.identity, task.tags, shared.parent, task.rerun, claimant=claimant
    )
    try:
        with claim as log:
            told = _run(task, log)
    except FinishedBefore:
        told = Told("before")
    except (Taken, Lost):
        return Told("taken")
    except StoreError as error:
        return Told("away", str(error))
    _checkpoint(task).unlink(missing_ok=True)  # not before the run is FINISHED
    return told


def _run(task: Task, log: Run) -> Told:
    """Runs and stores a claimed cell; tells its scores in a line."""
    planned, shared = task.planned, task.invocation
    tell = say if shared.aloud else _keep_quiet
    tell(f"{task.heading}: {planned.words}")

    def on_epoch(epoch: Mapping[str, float]) -> None:
        log.log_epoch({name: epoch[name] for name in CURVES}, int(epoch["epoch"]))
        losses = f"training loss {epoch['train_loss']:.3f}, validation loss {epoch['validation_loss']:.3f}"
        tell(f"    epoch {epoch['epoch']:.0f}: {losses}, {epoch['slices_per_second']:.0f} slices/s")

    cache, on_trial = planned.store.root.parent, lambda trial: tell(_trial(trial))
    result, model = experiment.run(planned, cache, on_epoch, on_trial, shared.out, _checkpoint(task))
    log.confirm()
    result = replace(result, record={**result.record, "run_id": log.run_id, "experiment": shared.experiment})
    documents = {"environment.json": provenance.environment(), **shared.documents}
    experiment.keep(planned, result, model, shared.out, log, documents)
    return Told("finished", _scores(result), log.run_id)


def _checkpoint(task: Task) -> Path:
    """Where a network's training is kept until its cell is finished."""
    return task.invocation.out / "checkpoints" / f"{task.planned.name}.ckpt"


def _keep_quiet(_: str) -> None:
    """Several cells at once would talk across each other."""


def _scores(result: Result) -> str:
    numbers, record = tables.scores_of(result), result.record
    told = ", ".join(f"{level} {numbers[f'{level}/f1']:.3f}" for level in grouping.LEVELS if f"{level}/f1" in numbers)
    kept = f"epoch {record['best_epoch']} of 0 to {record['epochs'] - 1} kept; " if "epochs" in record else ""
    remark = f"; {record['remark']}" if "remark" in record else ""
    return f"weighted F1: {told}; {kept}{record['fit_seconds']:.1f} s{remark}"


def _trial(trial: Mapping[str, Any]) -> str:
    score = f"{trial['mean']:.3f} ± {trial['std']:.3f}" if "fault" not in trial else f"refused ({trial['fault']})"
    arguments = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial["arguments"].items()
    )
    return f"    trial {trial['trial']} of {trial['of']}: weighted F1 {score}; {arguments}"
