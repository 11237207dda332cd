"""Claims and runs, in a SQLite store: who may run a cell, and what becomes of it."""

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Run as Stored
from mlflow.entities import ViewType

from crnn_bench import claims, heartbeats, store, tracking
from crnn_bench.claims import BEAT_TAG, CELL_TAG, PROCESS_TAG, Claims, FinishedBefore, Lost, Taken
from crnn_bench.errors import BenchError
from crnn_bench.heartbeats import Watch
from crnn_bench.store import StoreError
from crnn_bench.tracking import Tracker

ELSEWHERE = "00000000.1.1"  # a process of another machine
HOLDER = """
import sys, time
from crnn_bench.tracking import Tracker
with Tracker(sys.argv[1], sys.argv[2]).claim("held", "cell", {}, sys.argv[3], claimant="holder") as run:
    print(run.run_id, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return tracking.connect(f"sqlite:///{tmp_path / 'mlflow.db'}", "claims")


def runs(tracker: Tracker, cell: str = "cell", kind: int = ViewType.ACTIVE_ONLY) -> list[Stored]:
    query = f"tags.`{CELL_TAG}` = '{cell}'"
    return list(mlflow.MlflowClient(tracker.uri).search_runs([tracker.experiment_id], query, kind))


def statuses(tracker: Tracker, cell: str = "cell") -> list[str]:
    return sorted(run.info.status for run in runs(tracker, cell))


def finish(tracker: Tracker, cell: str = "cell", parent: str = "parent", rerun: bool = False) -> str:
    with tracker.claim("a cell", cell, {}, parent, rerun) as run:
        return run.run_id


def test_a_cell_is_free_then_taken_then_finished(tracker: Tracker) -> None:
    assert tracker.standing("cell") == "free"
    with tracker.parent("all", {"kind": "experiment"}) as parent:
        with tracker.claim("a cell", "cell", {"model": "CRNN"}, parent.run_id) as run:
            other: Tracker = pickle.loads(pickle.dumps(tracker))
            assert other == tracker
            assert other.standing("cell") == "taken"
            with pytest.raises(Taken):
                finish(other)
            assert other.standing("another") == "free"
        assert tracker.standing("cell") == "finished"
        with pytest.raises(FinishedBefore, match=run.run_id):
            finish(other)
    (stored,) = runs(tracker, kind=ViewType.ALL)
    assert stored.info.status == "FINISHED"
    assert stored.info.end_time
    assert stored.data.tags["mlflow.parentRunId"] == parent.run_id
    assert {"mlflow.user", "mlflow.source.name", "model"} <= set(stored.data.tags)
    assert mlflow.MlflowClient(tracker.uri).get_run(parent.run_id).info.status == "FINISHED"
    assert tracker.finished_all() == {"cell": run.run_id}


def test_finished_all_tells_the_newest_of_every_cell_over_pages(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = mlflow.MlflowClient.search_runs
    monkeypatch.setattr(mlflow.MlflowClient, "search_runs", lambda *a, **k: search(*a, **{**k, "max_results": 2}))
    ids = {f"cell {number}": finish(tracker, f"cell {number}") for number in range(5)}
    time.sleep(0.002)  # MLflow counts milliseconds
    ids["cell 3"] = finish(tracker, "cell 3", "another parent", rerun=True)
    with tracker.claim("a cell", "cell 3", {}, "a third", rerun=True):
        assert tracker.finished_all() == ids
    ids["cell 3"] = runs(tracker, "cell 3")[0].info.run_id
    assert tracker.finished_all() == ids


@pytest.mark.parametrize(
    ("fault", "status"), [(BenchError("NaN"), "FAILED"), (ValueError("?"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_cell_that_fails_is_free_again(tracker: Tracker, fault: BaseException, status: str) -> None:
    def fail() -> None:
        with tracker.claim("a cell", "cell", {}, "parent") as run:
            run.log_epoch({"loss": 1.0}, 0)
            raise fault

    with pytest.raises(type(fault)):
        fail()
    (stored,) = runs(tracker)
    assert stored.data.metrics == ({} if status == "KILLED" else {"loss": 1.0})
    assert tracker.standing("cell") == "free"
    finish(tracker)
    assert statuses(tracker) == sorted(["FINISHED", status])


def test_a_rerun_counts_what_the_same_invocation_finished(tracker: Tracker) -> None:
    first = finish(tracker)
    second = finish(tracker, parent="again", rerun=True)
    with pytest.raises(FinishedBefore, match=second):
        finish(tracker, parent="again", rerun=True)
    assert statuses(tracker) == ["FINISHED", "FINISHED"]
    assert first != second


def holder(tracker: Tracker) -> tuple[subprocess.Popen[str], str]:
    words = [sys.executable, "-c", HOLDER, tracker.uri, tracker.experiment_id, "parent"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_a_holder_that_was_killed_here_frees_its_cell_at_once(tracker: Tracker) -> None:
    process, run_id = holder(tracker)
    assert tracker.standing("cell") == "taken"
    process.send_signal(signal.SIGKILL)  # nobody waits for its end yet: the system still lists it
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert tracker.standing("cell") == "free"
    process.communicate()
    assert finish(tracker) != run_id
    assert statuses(tracker) == ["FINISHED", "KILLED"]


def test_a_holder_that_its_engine_knows_to_be_dead_is_released_and_cannot_finish(tracker: Tracker) -> None:
    ids: list[str] = []  # the one or the other may have the lower number

    def be_taken_for_dead() -> None:
        with tracker.claim("a cell", "cell", {}, "parent", claimant="worker 1") as zombie:
            tracker.release("worker 2", "it died")
            assert tracker.standing("cell") == "taken"
            zombie.confirm()
            tracker.release("worker 1", "it died")
            with pytest.raises(Lost):
                zombie.confirm()
            ids.extend([zombie.run_id, finish(tracker)])

    with pytest.raises(Lost):
        be_taken_for_dead()
    assert {run.info.run_id: run.info.status for run in runs(tracker)} == {ids[0]: "KILLED", ids[1]: "FINISHED"}


def test_a_number_that_another_process_has_now_is_gone() -> None:
    machine, pid, started = heartbeats.process().split(".")
    assert not heartbeats.is_gone(heartbeats.process())
    assert heartbeats.is_gone(f"{machine}.{pid}.{int(started) + 1}")
    assert not heartbeats.is_gone(ELSEWHERE)
    assert not heartbeats.is_gone("")


def foreign(tracker: Tracker, beat: str = "holds 1") -> str:
    """A claim that another machine holds."""
    tags = {CELL_TAG: "cell", PROCESS_TAG: ELSEWHERE, BEAT_TAG: beat}
    return str(mlflow.MlflowClient(tracker.uri).create_run(tracker.experiment_id, tags=tags).info.run_id)


def test_a_silent_holder_elsewhere_is_dead_and_one_whose_heart_beats_is_not(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(heartbeats, "monotonic", lambda: now)
    run_id, client = foreign(tracker), mlflow.MlflowClient(tracker.uri)
    for beat in range(20):
        client.set_tag(run_id, BEAT_TAG, f"holds {beat}")
        assert tracker.standing("cell") == "taken"
        now += 60
    assert tracker.standing("cell") == "taken"  # the store may have been away for the 60 s
    now += 3600
    assert tracker.standing("cell") == "taken"
    for _ in range(2):  # 30 s + 30 s + 15 s + 15 s
        now += 15
        with pytest.raises(Taken):
            finish(tracker)
    now += 1
    assert finish(tracker) != run_id
    assert statuses(tracker) == ["FINISHED", "KILLED"]


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), min_size=1))
def test_silence_is_the_time_since_the_last_change_with_no_gap_above_half_a_minute(
    looks: list[tuple[float, bool]],
) -> None:
    watch, now, beat, expected = Watch(), 5.0, 0, 0.0

    def look() -> float:
        return watch.silence("run", str(beat))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heartbeats, "monotonic", lambda: now)
        assert look() == 0
        for gap, changed in looks:
            now, beat = now + gap, beat + changed
            expected = 0.0 if changed else expected + min(gap, 30)
            assert look() == pytest.approx(expected)


def test_a_waiting_claim_withdraws_for_a_holder_and_for_a_lower_one(tracker: Tracker) -> None:
    """Whoever comes between another's two looks: the store tells of it after the first look, before the second."""
    mlflow_client = mlflow.MlflowClient(tracker.uri)

    def take(after_first_look: Callable[[], Any]) -> None:
        looks: list[int] = []
        original = Claims.look

        def look(self: Claims, cell: str, own: Any = None) -> Any:
            found = original(self, cell, own)
            looks.append(1)
            if len(looks) == 1:
                after_first_look()
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Claims, "look", look)
            finish(tracker)

    run_id: list[str] = []
    with pytest.raises(Taken):
        take(lambda: run_id.append(foreign(tracker)))
    mlflow_client.set_terminated(run_id[0], "FAILED")
    with pytest.raises(FinishedBefore):
        take(lambda: finish(tracker))
    assert statuses(tracker) == ["FAILED", "FINISHED"]


def at_once(tracker: Tracker, cell: str, many: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Claims a cell in many threads whose questions to the store fall in random order; most holders, and finishes."""
    holding, most, finishes, lock, faults = 0, 0, 0, threading.Lock(), []
    ask = store.patiently
    chances = {f"claimant {number}": random.Random(f"{seed} {number}") for number in range(many)}

    def later(*arguments: Any) -> Any:
        if chance := chances.get(threading.current_thread().name):
            time.sleep(chance.choice([0, 0, 0.005, 0.02]))
        return ask(*arguments)

    def claim() -> None:
        nonlocal holding, most, finishes
        own = Tracker(tracker.uri, tracker.experiment_id)
        while True:
            try:
                with own.claim("a cell", cell, {}, "parent"):
                    with lock:
                        holding += 1
                        most = max(most, holding)
                    time.sleep(0.01)
                    with lock:
                        holding -= 1
                        finishes += 1
            except Taken:
                time.sleep(0.01)
                continue
            except FinishedBefore:
                return
            except BaseException as error:
                faults.append(error)
                raise

    monkeypatch.setattr(claims, "patiently", later)
    threads = [threading.Thread(target=claim, name=name) for name in chances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    return most, finishes


def test_of_many_at_once_one_holds_the_cell_and_it_is_run_once(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(6):
        assert at_once(tracker, f"cell {seed}", 4, seed, monkeypatch) == (1, 1)
        assert statuses(tracker, f"cell {seed}") == ["FINISHED"]


def test_of_two_that_finish_a_cell_in_the_same_moment_one_stays(tracker: Tracker) -> None:
    """They pass every check together, as no check can rule out: the one was taken for dead, and lives."""
    for seed in range(4):
        cell, gate, ended = f"cell {seed}", threading.Barrier(2), list[str]()
        one = tracker._claims.take(cell, "one", {}, False)
        tracker._claims.end(one.run_id, "KILLED")
        two = tracker._claims.take(cell, "two", {}, False)
        mlflow.MlflowClient(tracker.uri).update_run(one.run_id, "RUNNING")

        def end(claim: claims.Claim, gate: threading.Barrier = gate, ended: list[str] = ended) -> None:
            gate.wait()
            try:
                claim.finish()
                ended.append(claim.run_id)
            except Lost:
                return

        threads = [threading.Thread(target=end, args=(claim,)) for claim in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        finished = [run.info.run_id for run in runs(tracker, cell) if run.info.status == "FINISHED"]
        assert len(finished) == 1
        assert finished[0] in ended


def test_a_run_that_was_made_twice_for_a_lost_answer_stays_once(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = mlflow.MlflowClient.create_run

    def twice(*arguments: Any, **named: Any) -> Stored:
        create(*arguments, **named)
        return create(*arguments, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "create_run", twice)
    run_id = finish(tracker)
    assert [run.info.run_id for run in runs(tracker)] == [run_id]
    assert len(runs(tracker, kind=ViewType.ALL)) == 2


def test_the_heart_of_a_holder_beats(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "SECONDS_BETWEEN_BEATS", 0.05)
    client, seen = mlflow.MlflowClient(tracker.uri), set[str]()
    with tracker.claim("a cell", "cell", {}, "parent") as run:
        until = time.monotonic() + 30
        while len(seen) < 4:
            assert time.monotonic() < until
            seen.add(client.get_run(run.run_id).data.tags[BEAT_TAG])
    time.sleep(0.5)  # for the one that is on its way
    last = client.get_run(run.run_id).data.tags[BEAT_TAG]
    time.sleep(0.3)
    assert client.get_run(run.run_id).data.tags[BEAT_TAG] == last


def test_what_waits_is_sent_once_however_often_it_is_sent(tracker: Tracker) -> None:
    with tracker.claim("a cell", "cell", {}, "parent") as run:
        for epoch in range(3):
            run.log_epoch({"loss": 1.0, "nothing": float("nan")}, epoch)
        waiting = list(run._waiting)
        run.flush()
        run._waiting = waiting  # as if the answer had been lost
        run.log_parameters({"clip_seconds": 3})
        run.log_metrics({"f1": 0.5})
    client = mlflow.MlflowClient(tracker.uri)
    assert [metric.step for metric in client.get_metric_history(run.run_id, "loss")] == [0, 1, 2]
    assert len(client.get_metric_history(run.run_id, "nothing")) == 3
    stored = client.get_run(run.run_id).data
    assert stored.params == {"clip_seconds": "3"}
    assert stored.metrics["f1"] == 0.5


def test_metrics_wait_for_a_server_that_is_away_and_a_claim_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(tracking, "SECONDS_BETWEEN_EPOCHS", -1.0)
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 4.0)
    run = tracking.Run("http://127.0.0.1:9", "0" * 32)
    run.log_epoch({"loss": 1.0}, 0)
    run.log_epoch({"loss": 1.0}, 1)
    assert [metric.step for metric in run._waiting] == [0, 1]
    assert capsys.readouterr().out == ""
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9 does not answer for \d+ s"):
        run.flush()
    assert [metric.step for metric in run._waiting] == [0, 1]
    assert capsys.readouterr().out == "the tracking store http://127.0.0.1:9 does not answer; waiting\n"


def test_those_who_name_the_same_new_dataset_at_once_all_use_it(tracker: Tracker) -> None:
    """MLflow looks for it and then writes it, so that of two that do so at once the later one fails."""
    together, faults, names = threading.Barrier(4), list[str](), [f"dataset {number}" for number in range(20)]

    def use(number: int) -> None:
        with tracker.claim(f"cell {number}", str(number), {}, "parent") as run:
            try:
                for name in names:
                    together.wait(60)
                    run.log_dataset(name, "digest", "{}")
            except (BenchError, mlflow.MlflowException) as error:
                faults.append(str(error))
                together.abort()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for run in mlflow.MlflowClient(tracker.uri).search_runs([tracker.experiment_id]):
        assert sorted(used.dataset.name for used in run.inputs.dataset_inputs) == sorted(names)
