"""Grids under fire: machines that go away, cells that kill, runs that are killed; nothing is lost, nothing runs twice.

`CELLS=200 KILLS=10 SEEDS=4 pytest -n 0 -m slow tests/test_grids.py` is the large form of these tests.
"""

import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

CELLS = int(os.environ.get("CELLS", "16"))
KILLS = int(os.environ.get("KILLS", "2"))
SEEDS = int(os.environ.get("SEEDS", "1"))
NARROW = "{class_path: CRNN, init_args: {conv_channels: [4, 4], pool_sizes: [[4, 4], [4, 4]], recurrent_width: 4}}"
MOST_SECONDS_OF_LIFE = float(os.environ.get("MOST_SECONDS_OF_LIFE", "8"))
POISON = """
import os, signal
from crnn_bench.baselines.mfcc_svm import MfccSVM

class Poison(MfccSVM):
    def summarise(self, frames):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def start(yaml: Path, out: Path, *options: str, **environment: str) -> "subprocess.Popen[str]":
    """`crnn-bench run` in a process group of its own; a new SQLite store is a copy of an empty one, as in all tests."""
    if "--tracking-uri" not in options and not (out / "mlflow.db").exists():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(os.environ["EMPTY_STORE"], out / "mlflow.db")
    command = [Path(sys.executable).with_name("crnn-bench"), "run", yaml, "--out", out, *options]
    known = os.environ | environment
    known.pop("MLFLOW_TRACKING_URI", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=yaml.parent, env=known, start_new_session=True, **pipes)  # type: ignore[call-overload]


def ends(out: Path, name: str) -> Mapping[str, Counter[str]]:
    """How often the runs of each cell ended how."""
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    found = client.get_experiment_by_name(name)
    assert found is not None
    counted: dict[str, Counter[str]] = {}
    token = None
    while True:
        page = client.search_runs([found.experiment_id], page_token=token)
        for run in page:
            if "crnn_bench.cell" in run.data.tags:
                counted.setdefault(run.data.tags["mlflow.runName"], Counter())[run.info.status] += 1
        token = page.token
        if not token:
            return counted


def scores(out: Path) -> pd.DataFrame:
    """Every number of the results but times."""
    table = pd.read_csv(out / "results.csv").sort_values(["model", "split", "seed"], ignore_index=True)
    return table.drop(columns=["run_id", *(name for name in table if "second" in name and name != "clip_seconds")])


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three machines of one processor each, as processes of this one."""
    pytest.importorskip("ray", reason="no Ray here; pip install 'crnn-bench[ray]'")
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines = [started.add_node(num_cpus=1) for _ in range(2)]
    yield started, machines
    started.shutdown()


@pytest.mark.slow
def test_a_grid_survives_the_loss_of_a_machine_and_a_poisoned_cell(
    tmp_path: Path, cache: Path, cluster: tuple[Any, list[Any]]
) -> None:
    started, machines = cluster
    yaml, out = tmp_path / "many.yaml", tmp_path / "out"
    (tmp_path / "poison.py").write_text(POISON)
    yaml.write_text(
        "name: many\ndataset: {class_path: Toy, init_args: {n_artists: 3, seconds: 4}}\nclip_seconds: 1\ngrid:\n"
        f"- {{model: [MfccSVM], seed: {list(range(CELLS - 1))}}}\n- {{model: [poison.Poison], seed: [0]}}\n"
    )
    with start(yaml, out, "--engine", "ray", RAY_ADDRESS=started.address) as process:
        assert process.stdout is not None
        lines, ended = [], 0
        for line in process.stdout:
            lines.append(line)
            ended += "weighted F1: slice" in line
            if ended == CELLS // 3 and len(machines) == 2:
                started.remove_node(machines.pop(), allow_graceful=False)
    printed = "".join(lines)
    print(printed)
    assert process.returncode == 2, "one cell failed"
    assert "on a Ray cluster of 3 machines" in printed
    assert "raylet" not in printed, "Ray's own remarks"
    (failed,) = [line for line in lines if "poison.Poison" in line and "failed" in line and line.startswith("[")]
    assert "2 times: its process died" in failed
    counted = ends(out, "many")
    (poisoned,) = [name for name in counted if "Poison" in name]
    assert counted.pop(poisoned)["FINISHED"] == 0
    assert len(counted) == CELLS - 1
    assert {name: ended["FINISHED"] for name, ended in counted.items()} == dict.fromkeys(counted, 1)
    assert len(pd.read_csv(out / "results.csv")) == CELLS - 1


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of `killed.yaml` beside them, which nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    yaml = folder / "killed.yaml"
    yaml.write_text(
        "name: killed\ndataset: {class_path: Toy, init_args: {n_artists: 3, seconds: 6}}\nclip_seconds: 1\n"
        "trainer: {max_epochs: 12, precision: fp32}\n"
        f"grid: {{split: [SongSplit, AlbumSplit], model: [MfccSVM, {NARROW}], seed: {list(range(SEEDS))}}}\n"
    )
    with start(yaml, folder / "out", CRNN_BENCH_CACHE=str(folder / "cache")) as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output
    return folder / "out"


@pytest.mark.slow
def test_an_experiment_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    tmp_path: Path, cache: Path, undisturbed: Path
) -> None:
    """By turns on either engine, each of which goes on where the other was."""
    yaml = undisturbed.with_name("killed.yaml")
    rng, out, kills, engines = random.Random(0), tmp_path / "out", 0, itertools.cycle(["local", "processes"])
    while kills < KILLS:
        process = start(yaml, out, "--engine", next(engines), "--workers", "2")
        for line in process.stdout or ():
            if line.startswith("[") or "cells on" in line:  # cells begin
                break
        time.sleep(rng.uniform(0, MOST_SECONDS_OF_LIFE))
        kills += process.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:
            break
    with start(yaml, out, "--engine", next(engines), "--workers", "2") as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert kills > 0
    pd.testing.assert_frame_equal(scores(out), scores(undisturbed), check_exact=True)
    for path in (undisturbed / "predictions").iterdir():
        pd.testing.assert_frame_equal(
            pd.read_parquet(out / "predictions" / path.name), pd.read_parquet(path), check_exact=True
        )
    counted = ends(out, "killed")
    assert len(counted) == 4 * SEEDS
    assert {name: ended["FINISHED"] for name, ended in counted.items()} == dict.fromkeys(counted, 1)
    assert not any(ended["RUNNING"] for ended in counted.values()), "the dead are buried"
    print(f"killed {kills} times; {counted}")
