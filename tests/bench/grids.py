"""Cells an hour: one after another, and in a process a core."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from tests.bench.measuring import Machine, Row, in_turns, timed

CELLS = 16
YAML = f"""name: grid
dataset: {{class_path: Toy, init_args: {{n_artists: 3, seconds: 4}}}}
clip_seconds: 1
model: MfccSVM
grid: {{seed: {list(range(CELLS))}}}
"""


def rows(console: Console, _: Machine) -> Iterator[Row]:
    """Of whole runs of tiny cells, of which starts, storing, tracking and report are nearly all."""
    console.print(f"cells: {CELLS} MfccSVM cells on 4 s of toy music, starts and report included; plain way: local")
    with tempfile.TemporaryDirectory() as folder:
        yaml = Path(folder) / "grid.yaml"
        yaml.write_text(YAML)
        environment = {**os.environ, "CRNN_BENCH_CACHE": f"{folder}/cache"}
        command = [sys.executable, "-m", "crnn_bench"]
        subprocess.run([*command, "prepare", str(yaml)], check=True, env=environment, stdout=subprocess.DEVNULL)

        def run(engine: str) -> float:
            with tempfile.TemporaryDirectory() as out:
                options = ["--engine", engine, "--out", f"{out}/out"]
                asked = [*command, "run", str(yaml), *options]
                return timed(
                    lambda: subprocess.run(asked, check=True, env=environment, stdout=subprocess.DEVNULL), 3600 * CELLS
                )

        local, processes = in_turns(lambda: run("local"), lambda: run("processes"), rounds=1)
        yield Row("cells, processes", "cells/h", local, processes, None, None)
