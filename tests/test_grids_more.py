"""Grids that share a store, are stopped, lose a worker or their server, and cells that behave as none should."""

import glob
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from tests import stores
from tests.stores import MlflowServer
from tests.test_grids import NARROW, ends, scores, start

pytestmark = pytest.mark.slow
TINY = "name: {name}\ndataset: {{class_path: Toy, init_args: {{n_artists: 3, seconds: 4}}}}\nclip_seconds: 1\n{rest}\n"
LONG = f"trainer: {{max_epochs: 10, patience: 10, precision: fp32}}\ngrid: {{model: [{NARROW}], seed: [0, 1]}}"
ODD = """
import os, sys, threading, time
from crnn_bench.baselines.mfcc_svm import MfccSVM

class Twisted(Exception):
    def __init__(self, one, two):
        super().__init__()
        self.lock = threading.Lock()

    def __str__(self):
        raise RuntimeError("nothing to say")

class Raises(MfccSVM):
    def summarise(self, frames):
        raise Twisted(1, 2)

class Exits(MfccSVM):
    def summarise(self, frames):
        sys.exit(0)

class Dies(MfccSVM):
    def summarise(self, frames):
        os._exit(0)

class Leaves(MfccSVM):
    def summarise(self, frames):
        if not any(thread.name == "left" for thread in threading.enumerate()):
            threading.Thread(target=time.sleep, args=(3,), name="left").start()
        return super().summarise(frames)
"""
DRIVER = """
import sys
from crnn_bench import store, training
store.PATIENCE_SECONDS = 5.0
training.CHECKPOINT_SECONDS = 0.0
from crnn_bench import cli
if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
"""


def write(folder: Path, name: str, rest: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(TINY.format(name=name, rest=rest))
    return path


def runs(uri: str, name: str) -> list[Run]:
    client = mlflow.MlflowClient(uri)
    found = client.get_experiment_by_name(name)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def until(
    condition: Callable[[], object], process: "subprocess.Popen[str] | None" = None, seconds: float = 120
) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def children(pid: int) -> set[int]:
    """Processes of a session; resource trackers, which end by themselves, are none of ours."""
    told = subprocess.run(["ps", "-o", "pid=,args=", "--sid", str(pid)], capture_output=True, text=True, check=False)
    return {int(line.split()[0]) for line in told.stdout.splitlines() if "resource_tracker" not in line}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    with stores.server(f"sqlite:///{folder / 'mlflow.db'}", folder) as running:
        yield running


@pytest.mark.parametrize("shared", [True, False], ids=["one folder and SQLite", "two folders and a server"])
def test_two_at_once_share_the_cells_and_both_have_all_tables(
    tmp_path: Path, cache: Path, request: pytest.FixtureRequest, shared: bool
) -> None:
    yaml = write(tmp_path, "both", "grid: {model: [MfccSVM], seed: [0, 1, 2, 3]}")
    outs = [tmp_path / "one", tmp_path / ("one" if shared else "two")]
    uri = f"sqlite:///{outs[0] / 'mlflow.db'}" if shared else request.getfixturevalue("server").uri
    processes = [start(yaml, out, "--tracking-uri", uri) for out in outs]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    counted = Counter(run.data.tags["mlflow.runName"] for run in runs(uri, "both"))
    assert counted == {f"MfccSVM, SongSplit, 1 s, seed {seed}": 1 for seed in range(4)} | {"both: 4 cells": 2}
    assert {run.info.status for run in runs(uri, "both")} == {"FINISHED"}
    for out in outs:
        assert len(pd.read_csv(out / "results.csv")) == 4
        assert len(list((out / "predictions").iterdir())) == 4
    pd.testing.assert_frame_equal(scores(outs[0]), scores(outs[1]), check_exact=True)


@pytest.mark.parametrize(
    ("engine", "whole_group"), [("local", True), ("processes", True), ("processes", False), ("ray", True)]
)
def test_ctrl_c_ends_with_a_line_and_leaves_nothing_behind(
    tmp_path: Path, cache: Path, engine: str, whole_group: bool
) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="no Ray here; pip install 'crnn-bench[ray]'")
    yaml, out = write(tmp_path, "stopped", LONG.replace("10", "100000")), tmp_path / "out"
    process = start(yaml, out, "--engine", engine)
    uri = f"sqlite:///{out / 'mlflow.db'}"
    until(lambda: glob.glob(f"{out}/checkpoints/*.ckpt"), process, 200)
    there = children(process.pid) - {process.pid}
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    lines = process.communicate(timeout=120)[0].splitlines()
    assert process.returncode == 130, lines
    assert lines[-1] == "crnn-bench: stopped; the same command goes on with what is not finished"
    assert not [line for line in lines if "Traceback" in line or "Error" in line]
    until(lambda: not [pid for pid in there if Path(f"/proc/{pid}").exists()], seconds=30)
    assert {run.info.status for run in runs(uri, "stopped")} == {"KILLED"}
    assert {run.data.tags["mlflow.note.content"] for run in runs(uri, "stopped")} >= {"stopped"}
    assert not list(tmp_path.rglob("*.part"))


def test_a_worker_that_is_killed_begins_its_cell_again_where_it_was(tmp_path: Path, cache: Path) -> None:
    yaml = write(tmp_path, "again", LONG)
    (tmp_path / "drive.py").write_text(DRIVER)

    def begin(out: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "drive.py", "run", yaml, "--out", out, "--engine", "processes", "--workers", "2"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes)  # type: ignore[call-overload]

    for name in ("undisturbed", "disturbed"):
        process, out = begin(tmp_path / name), tmp_path / name
        if name == "disturbed":
            until(lambda out=out: glob.glob(f"{out}/checkpoints/*.ckpt"), process)  # type: ignore[misc]
            uri = f"sqlite:///{out / 'mlflow.db'}"
            holders = [run.data.tags["crnn_bench.process"] for run in runs(uri, "again") if "seed" in run.info.run_name]
            os.kill(int(holders[0].split(".")[1]), signal.SIGKILL)
        output = process.communicate()[0]
        assert process.returncode == 0, output
    pd.testing.assert_frame_equal(scores(tmp_path / "disturbed"), scores(tmp_path / "undisturbed"), check_exact=True)
    counted = ends(tmp_path / "disturbed", "again")
    assert sum(ended["KILLED"] for ended in counted.values()) == 1
    assert {name: ended["FINISHED"] for name, ended in counted.items()} == dict.fromkeys(counted, 1)
    (dead,) = [run for run in runs(uri, "again") if run.info.status == "KILLED"]
    assert "SIGKILL" in dead.data.tags["mlflow.note.content"]


@pytest.mark.parametrize("engine", ["local", "processes"])
def test_cells_that_behave_as_none_should_fail_by_themselves(tmp_path: Path, cache: Path, engine: str) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    names = ["Raises", "Exits", "Leaves", *(["Dies"] if engine == "processes" else [])]
    yaml = write(
        tmp_path, "odd", f"grid: {{model: [{', '.join(f'odd.{name}' for name in names)}, MfccSVM], seed: [0]}}"
    )
    out = tmp_path / "out"
    known = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    words = [str(Path(sys.executable).with_name("crnn-bench")), "run", str(yaml), "--out", str(out), "--engine", engine]
    without_input = ["bash", "-c", '"$@" <&- 2>&1', "bash", *words]
    told = subprocess.run(without_input, cwd=tmp_path, env=known, capture_output=True, text=True, check=False)
    assert told.returncode == 2, told.stdout
    assert "Traceback" not in told.stdout
    notes = {
        run.data.tags["mlflow.runName"].split(",")[0]: run.data.tags["mlflow.note.content"]
        for run in runs(f"sqlite:///{out / 'mlflow.db'}", "odd")
        if run.info.status in ("FAILED", "KILLED") and "odd." in run.data.tags["mlflow.runName"]
    }
    expected = {"odd.Raises": "Twisted: <exception str() failed>", "odd.Exits": "SystemExit: 0"}
    if engine == "processes":
        expected |= {"odd.Dies": "its process ended with exit code 0"}
    assert notes == expected
    assert set(pd.read_csv(out / "results.csv")["model"]) == {"odd.Leaves", "MfccSVM"}


def test_the_next_run_buries_an_invocation_that_was_killed(tmp_path: Path, cache: Path) -> None:
    yaml, out = write(tmp_path, "buried", LONG.replace("10", "100000")), tmp_path / "out"
    process = start(yaml, out)
    until(lambda: glob.glob(f"{out}/checkpoints/*.ckpt"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert {run.info.status for run in runs(f"sqlite:///{out / 'mlflow.db'}", "buried")} == {"RUNNING"}
    with start(yaml, out, "--set", "grid.model=[MfccSVM]") as process:  # none of the cells that were begun
        output = process.communicate()[0]
    assert process.returncode == 0, output
    after = runs(f"sqlite:///{out / 'mlflow.db'}", "buried")
    assert Counter(run.info.status for run in after) == {"FINISHED": 3, "KILLED": 2}
    assert {run.data.tags["mlflow.note.content"] for run in after if run.info.status == "KILLED"} == {
        "its process is gone"
    }


def test_a_server_that_never_comes_back_ends_the_run_with_a_line(
    tmp_path: Path, cache: Path, server: MlflowServer
) -> None:
    yaml, out = write(tmp_path, "alone", LONG), tmp_path / "out"
    (tmp_path / "drive.py").write_text(DRIVER)
    command = [sys.executable, "drive.py", "run", yaml, "--out", out, "--engine", "processes", "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(  # type: ignore[call-overload]
        [*command, "--tracking-uri", server.uri], cwd=tmp_path, start_new_session=True, **pipes
    )
    until(lambda: glob.glob(f"{out}/checkpoints/*.ckpt"), process)
    there = children(process.pid)
    server.kill()
    output = process.communicate()[0]
    server.start()
    assert process.returncode == 2, output
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith(f"crnn-bench: the tracking store {server.uri} ")
    until(lambda: not [pid for pid in there if Path(f"/proc/{pid}").exists()], seconds=30)
