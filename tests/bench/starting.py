"""How soon the command answers."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from tests.bench.measuring import Machine, Row, in_turns, timed

COMMAND = [sys.executable, "-m", "crnn_bench"]
YAML = """
name: start
dataset: {class_path: Toy, init_args: {n_artists: 2, n_albums: 3, n_songs: 2, seconds: 5}}
grid: {split: [SongSplit], clip_seconds: [3], model: [MajorityClass], seed: [0, 1, 2]}
"""


def rows(console: Console, _: Machine) -> Iterator[Row]:
    """`--help`, and a run whose cells are all done, beside what Python itself takes, and what the imports do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "start.yaml"
        path.write_text(YAML)
        environment = {**os.environ, "CRNN_BENCH_CACHE": f"{folder}/cache", "PYTHONWARNINGS": "ignore"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        run = [*COMMAND, "run", str(path), "--out", f"{folder}/out"]
        subprocess.run(run, env=environment, check=True, capture_output=True)

        def rate(*command: str) -> float:
            return timed(lambda: subprocess.run(command, env=environment, check=True, capture_output=True), 1)

        bare, heavy, told, done = in_turns(
            lambda: rate(sys.executable, "-c", "pass"),
            lambda: rate(sys.executable, "-c", "import mlflow, pandas, pyarrow.parquet, numpy"),
            lambda: rate(*COMMAND, "--help"),
            lambda: rate(*run),
        )
    console.print(f"start: `--help` takes {1 / told:.2f} s (wanted: < 0.3 s); bound: `python -c pass`")
    console.print(
        f"  a run whose cells are all done takes {1 / done:.2f} s (wanted: < 3 s); bound: the imports that it needs"
    )
    yield Row("start, --help", "starts/s", None, told, None, bare)
    yield Row("start, all done", "starts/s", None, done, None, heavy)
