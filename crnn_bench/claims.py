"""Cells → claims: a cell's run in MLflow is the claim to it, and no cell is run twice.

Any number of processes on any number of machines claim cells with no other service than the tracking store:

1. Read the cell's runs. One that is FINISHED, or RUNNING and alive, ends the attempt.
2. Write a run of one's own, RUNNING.
3. Read again. Whoever finds no other living run holds the cell. Whoever finds a holder, or a claim with a lower id,
   withdraws; the one with the lowest id waits until the others have withdrawn, or one turns out to hold the cell.

Two never hold a cell at once: each writes before it reads, and a store shows a reader all that was written before (so
do SQLite and PostgreSQL; a lagging read replica does not). Of two claims the one that was written later therefore sees
the earlier one, and never gets past it while it lives. Someone gets it: the lowest id of those who contend withdraws
for a holder alone.

A holder's heartbeat changes every 15 s. A claim is dead as soon as its process is known to be gone, by its number on
the same machine or by its engine, or when an observer has seen the same heartbeat for 90 s of its own clock; no clocks
are compared. A gap between two looks counts for 30 s at most, since the store may have been away in it, for the holder
too. A claim that was taken for dead is KILLED. Should its holder live nevertheless (it was suspended, say), it finds
out before it is FINISHED, and its work is `Lost`. Should both end in that very moment, each reads after it wrote once
more, and the lowest id alone stays FINISHED.
"""

import random
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import sleep
from types import TracebackType
from typing import Self

from mlflow.entities import Run
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from crnn_bench.errors import in_words
from crnn_bench.heartbeats import SECONDS_OF_SILENCE, Heart, Watch, is_gone, process
from crnn_bench.store import STORE_FAULTS, UNFINISHED, StoreError, client, patiently

CELL_TAG = "crnn_bench.cell"
CLAIM_TAG = "crnn_bench.claim"  # unique: MLflow repeats a request whose answer was lost, and makes two runs then
CLAIMANT_TAG = "crnn_bench.claimant"
PROCESS_TAG = "crnn_bench.process"
BEAT_TAG = "crnn_bench.heartbeat"
HOLDS = "holds"
GONE = "its process is gone"
SILENT = f"its heart did not beat for {SECONDS_OF_SILENCE:.0f} s"

MOST_WORDS = 2000  # letters of a fault, of the 5,000 that older servers take in a tag
SECONDS_TO_END = 10.0  # for a store that is away when a cell fails, which tells already


class Taken(Exception):  # noqa: N818 — it is news, and no error
    """Another process is at the cell."""


class FinishedBefore(Exception):  # noqa: N818
    """The cell is finished; the text is the id of its newest run."""


class Lost(Exception):  # noqa: N818
    """The claim was taken for dead, and the cell is another's: what was done for it does not count."""


@dataclass(frozen=True)
class Claims:
    """The claims to an experiment's cells.

    Attributes:
        uri: of the tracking store.
        experiment_id: MLflow's number.
        watch: what was seen of others' heartbeats.
    """

    uri: str
    experiment_id: str
    watch: Watch = field(default_factory=Watch, repr=False, compare=False)

    def finished(self) -> dict[str, str]:
        """The newest run of every finished cell, in one query of as many pages as there are."""
        found: dict[str, str] = {}
        for run in self._search("attributes.status = 'FINISHED'"):
            if CELL_TAG in run.data.tags:
                found.setdefault(run.data.tags[CELL_TAG], run.info.run_id)
        return found

    def standing(self, cell: str) -> str:
        """`finished`, `taken`, or `free`; claims that are dead are KILLED."""
        finished, living = self.look(cell)
        return "taken" if living else "finished" if finished else "free"

    def release(self, claimant: str, words: str) -> None:
        """Ends the claims of a claimant that is known to be dead, and notes how it died.

        A store that is away is not waited for: whoever wants the cell later finds the claims dead.
        """
        query = f"tags.`{CLAIMANT_TAG}` = '{claimant}' and attributes.status = 'RUNNING'"
        with suppress(StoreError, *STORE_FAULTS):
            for run in self._search(query, SECONDS_TO_END):
                self.end(run.info.run_id, "KILLED", words, SECONDS_TO_END)

    def bury(self) -> None:
        """Ends whatever runs of this machine are RUNNING though their process is gone, whole invocations, too."""
        for run in self._search("attributes.status = 'RUNNING'"):
            if is_gone(run.data.tags.get(PROCESS_TAG, "")):
                self.end(run.info.run_id, "KILLED", GONE)

    def take(self, cell: str, name: str, tags: Mapping[str, str], rerun: bool) -> "Claim":
        """Claims a cell.

        Args:
            cell: its identity.
            name: of its run.
            tags: of its run, its parent's id among them.
            rerun: makes a finished cell free, unless a run of the same parent finished it.

        Raises:
            Taken: by another process, or contended for.
            FinishedBefore: it is finished.
        """
        parent = tags.get(MLFLOW_PARENT_RUN_ID) if rerun else None

        def look(own: Claim | None = None) -> tuple[set[str], list[Run]]:
            finished, living = self.look(cell, own)
            counted = [run for run in finished if not rerun or run.data.tags.get(MLFLOW_PARENT_RUN_ID) == parent]
            if counted:
                raise FinishedBefore(counted[0].info.run_id)
            return {run.info.run_id for run in finished}, living

        if look()[1]:
            raise Taken(cell)
        claim = Claim(self, cell, name, tags)
        try:
            claim.earlier = _contend(claim, look)
        except (Taken, FinishedBefore):
            claim.withdraw()
            raise
        except BaseException:  # the store is away, or Ctrl-C
            with suppress(StoreError, *STORE_FAULTS):
                claim.withdraw(SECONDS_TO_END)
            raise
        return claim

    def end(self, run_id: str, status: str, words: str = "", seconds: float | None = None) -> None:
        """Ends a run, with a note that says why."""

        def ask() -> None:
            if words:
                client(self.uri).set_tag(run_id, MLFLOW_RUN_NOTE, words[:MOST_WORDS])
            client(self.uri).set_terminated(run_id, status)

        patiently(ask, self.uri, seconds)

    def fail(self, run_id: str, fault: BaseException) -> None:
        """Ends a run as KILLED by Ctrl-C, or else as FAILED; a store that is away is not waited for."""
        ended = ("KILLED", "stopped") if isinstance(fault, KeyboardInterrupt) else ("FAILED", in_words(fault))
        with suppress(StoreError, *STORE_FAULTS):  # its heart stops, and the next who wants the cell finds it dead
            self.end(run_id, *ended, SECONDS_TO_END)

    def delete(self, run_id: str, seconds: float | None = None) -> None:
        """Deletes a run that is nobody's."""
        patiently(lambda: client(self.uri).delete_run(run_id), self.uri, seconds)

    def look(self, cell: str, own: "Claim | None" = None) -> tuple[list[Run], list[Run]]:
        """The finished runs of a cell, newest first, and others' claims that live; ends those that are dead."""
        runs = [run for run in self.of(cell, own) if not own or run.info.run_id != own.run_id]
        claims = [run for run in runs if run.info.status in UNFINISHED]
        return [run for run in runs if run.info.status == "FINISHED"], [run for run in claims if not self._buried(run)]

    def of(self, cell: str, own: "Claim | None" = None) -> list[Run]:
        """The runs of a cell, newest first; deletes what a claim of one's own made twice."""
        runs = self._search(f"tags.`{CELL_TAG}` = '{cell}'")
        token, run_id = (own.token, own.run_id) if own else ("", "")
        twins = {run.info.run_id for run in runs if token and run.data.tags.get(CLAIM_TAG) == token} - {run_id}
        for twin in twins:
            self.delete(twin)
        return [run for run in runs if run.info.run_id not in twins]

    def _buried(self, run: Run) -> bool:
        """Whether the claim is dead; it is KILLED then."""
        beat, gone = run.data.tags.get(BEAT_TAG, ""), is_gone(run.data.tags.get(PROCESS_TAG, ""))
        silent = self.watch.silence(run.info.run_id, beat) > SECONDS_OF_SILENCE
        if not silent and not gone:
            return False
        now = patiently(lambda: client(self.uri).get_run(run.info.run_id), self.uri)  # it may have ended just now
        if now.info.status in UNFINISHED and now.data.tags.get(BEAT_TAG, "") == beat:
            self.end(run.info.run_id, "KILLED", GONE if gone else SILENT)
            return True
        return False

    def _search(self, query: str, seconds: float | None = None) -> list[Run]:
        """All runs of a query, newest first."""
        found: list[Run] = []
        token = None
        while True:
            page = patiently(
                lambda token=token: client(self.uri).search_runs(  # type: ignore[misc]
                    [self.experiment_id], query, order_by=["attributes.start_time DESC"], page_token=token
                ),
                self.uri,
                seconds,
            )
            found, token = [*found, *page], page.token
            if not token:
                return found


def _contend(claim: "Claim", look: Callable[["Claim"], tuple[set[str], list[Run]]]) -> set[str]:
    """Waits until the claim holds its cell; tells the runs that had finished it before.

    Raises:
        Taken: it has to withdraw.
    """
    while True:
        finished, others = look(claim)
        if not others:
            claim.hold()
            return finished
        if any(run.info.run_id < claim.run_id or _holds(run) for run in others):
            raise Taken(claim.cell)
        sleep(random.uniform(0.05, 0.2))


class Claim:
    """A claim to a cell, whose heart beats until it ends; as a context it ends as its block does.

    Attributes:
        run_id: MLflow's.
        earlier: runs that had finished the cell before.
    """

    def __init__(self, claims: Claims, cell: str, name: str, tags: Mapping[str, str]) -> None:
        self._claims, self.cell, self.token = claims, cell, uuid.uuid4().hex
        told = {**tags, CELL_TAG: cell, CLAIM_TAG: self.token, BEAT_TAG: "waits"}
        self.run_id = open_run(claims.uri, claims.experiment_id, name, told)
        self.earlier: set[str] = set()
        self._heart = Heart(lambda beat: client(claims.uri).set_tag(self.run_id, BEAT_TAG, beat), "waits")

    def hold(self) -> None:
        """Tells that the claim holds its cell."""
        self._heart.state = HOLDS
        patiently(self._heart.beat, self._claims.uri)

    def confirm(self) -> None:
        """Makes sure that nobody took the claim for dead.

        Raises:
            Lost: somebody did.
        """
        if not self._ends()[0]:
            self._lose(False, set())

    def finish(self) -> None:
        """Ends the run as FINISHED.

        Raises:
            Lost: the claim was taken for dead.
        """
        alive, others = self._ends()
        if others or not alive:
            self._lose(alive, others)
        self._claims.end(self.run_id, "FINISHED")
        _, others = self._ends()  # who finished it in the same moment sees this run, too, and keeps the same one
        if others and min(others) < self.run_id:
            self._lose(True, others)
        for other in others:
            self._claims.end(other, "KILLED", f"run {self.run_id} finished the cell")

    def withdraw(self, seconds: float | None = None) -> None:
        """Gives the claim up, and leaves no trace of it."""
        self._heart.stop()
        self._claims.delete(self.run_id, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
            elif fault and not isinstance(fault, Lost):
                self._claims.fail(self.run_id, fault)
        finally:
            self._heart.stop()

    def _ends(self) -> tuple[bool, set[str]]:
        """Whether this claim still stands, and the runs that finished the cell since it was made."""
        runs = self._claims.of(self.cell, self)
        finished = {run.info.run_id for run in runs if run.info.status == "FINISHED"} - self.earlier - {self.run_id}
        return any(run.info.run_id == self.run_id and run.info.status in UNFINISHED for run in runs), finished

    def _lose(self, alive: bool, others: set[str]) -> None:
        words = f"run {min(others)} finished the cell" if others else f"run {self.run_id} was taken for dead"
        if alive:
            self._claims.end(self.run_id, "KILLED", words)
        raise Lost(words)


def open_run(uri: str, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
    """Makes a run, with the tags that MLflow itself gives to each; its id."""
    told = resolve_tags({**tags, PROCESS_TAG: process()})
    made = patiently(lambda: client(uri).create_run(experiment_id, tags=told, run_name=name), uri)
    return str(made.info.run_id)


def _holds(run: Run) -> bool:
    return run.data.tags.get(BEAT_TAG, "").startswith(HOLDS)
