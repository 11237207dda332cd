"""Worker processes: what one task does, whatever it is, harms no other."""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crnn_bench.app import workers
from crnn_bench.app.worker import GoneError
from crnn_bench.app.workers import Workers
from crnn_bench.audio import UnusableAudioError
from crnn_bench.errors import BenchError
from tests.tasks import Tasks


@pytest.fixture(scope="module")
def desk() -> Iterator[Workers]:
    with contextlib.closing(Workers(Tasks, 2, 2, seconds=3)) as desk:
        yield desk


def test_workers_answer_and_tell_how_far_they_are(desk: Workers) -> None:
    told: list[tuple[float, str]] = []
    assert desk.ask("add", 1, 2, tell=lambda share, words: told.append((share, words))) == 3
    assert told == [(0.5, "half")]


@pytest.mark.parametrize(
    ("task", "kind", "words"),
    [
        ("abort", workers.CrashedError, "broke off"),
        ("surprise", workers.CrashedError, "broke off"),
        ("loop", workers.TooLongError, "more than the 3 seconds"),
        ("chatter", workers.TooLongError, "more than the 3 seconds"),
        ("grow", BenchError, "more memory"),
    ],
)
def test_a_task_that_goes_wrong_harms_no_other(
    desk: Workers, capfd: pytest.CaptureFixture[str], task: str, kind: type[BenchError], words: str
) -> None:
    other: list[Any] = []
    beside = threading.Thread(target=lambda: other.append(desk.ask("rest", 1.0)))
    beside.start()
    with pytest.raises(kind, match=words):
        desk.ask(task)
    beside.join()
    assert other == ["rested"]
    assert [desk.ask("add", number, 1) for number in range(4)] == [1, 2, 3, 4]
    assert len(desk.pids) == 2


def test_errors_in_words_leave_the_worker_alone(desk: Workers, tmp_path: Path) -> None:
    before = sorted(desk.pids)
    with pytest.raises(UnusableAudioError, match="silent"):
        desk.ask("fail")
    with pytest.raises(BenchError, match="No such file"):
        desk.ask("open", str(tmp_path / "none"))
    assert sorted(desk.pids) == before


def test_the_waiting_line_is_bounded_and_those_who_went_away_are_dropped(desk: Workers) -> None:
    went, answers = threading.Event(), []

    def ask(gone: Callable[[], bool]) -> None:
        try:
            answers.append(desk.ask("rest", 2.0, gone=gone))
        except BenchError as error:
            answers.append(type(error))

    threads = [threading.Thread(target=ask, args=(lambda: False,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    waiting = [threading.Thread(target=ask, args=(went.is_set,)) for _ in range(2)]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)
    with pytest.raises(workers.Busy, match="try again"):
        desk.ask("pid")
    went.set()
    for thread in threads + waiting:
        thread.join()
    assert answers == [GoneError] * 2 + ["rested"] * 2
    assert desk.ask("add", 2, 2) == 4


def test_a_task_whose_asker_went_away_ends_and_its_worker_goes_on() -> None:
    went, told = threading.Event(), []
    with contextlib.closing(Workers(Tasks, 1, 0)) as desk:
        pid = desk.ask("pid")
        threading.Timer(0.5, went.set).start()
        with pytest.raises(GoneError):
            desk.ask("chatter", tell=lambda share, words: told.append(words), gone=went.is_set)
        assert told
        assert desk.ask("pid") == pid
        went.clear()
        threading.Timer(0.2, went.set).start()  # after its last word: the word to stop is for nobody then
        assert desk.ask("rest", 0.6, gone=went.is_set) == "rested"
        assert desk.ask("add", 2, 3) == 5
        assert desk.pids == [pid]


def test_an_asker_that_breaks_off_gets_a_fresh_worker(desk: Workers) -> None:
    def tell(share: float, words: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.ask("rest", 1.0, tell=tell)
    assert [desk.ask("add", number, number) for number in range(4)] == [0, 2, 4, 6]


def test_a_worker_that_is_lost_while_it_waits_is_replaced_before_anyone_asks_it(desk: Workers) -> None:
    before = {desk.ask("pid") for _ in range(4)}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while before & {child.pid for child in multiprocessing.active_children()}:
        assert time.monotonic() < until
    assert before.isdisjoint({desk.ask("pid") for _ in range(4)})


def test_what_cannot_be_opened_is_told_to_each_who_asks() -> None:
    with contextlib.closing(Workers(functools.partial(Tasks, "no models"), 1, 0)) as desk:
        for _ in range(2):
            with pytest.raises(BenchError, match="no models"):
                desk.ask("pid")


def test_closing_ends_all_processes() -> None:
    desk = Workers(Tasks, 2, 0)
    pids = desk.pids
    desk.ask("pid")
    desk.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
