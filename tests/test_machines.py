"""A machine of a Ray cluster that shares no disk with the one that began the run, which talks to Ray from afar."""

import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests import stores
from tests.test_grids import NARROW, scores, start
from tests.test_grids_more import until

pytestmark = pytest.mark.slow
YAML = f"""
name: apart
dataset: {{class_path: Toy, init_args: {{n_artists: 3, seconds: 4}}}}
clip_seconds: 1
trainer: {{max_epochs: 2, precision: fp32}}
grid: {{model: [MfccSVM, {NARROW}], seed: [0]}}
"""
APART = "mount -t tmpfs none {hidden} && exec {ray} start --address=127.0.0.1:{port} --num-cpus=2 --block"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A head without processors, and a machine that has two and sees an empty folder of its own where ours is."""
    pytest.importorskip("ray", reason="no Ray here; pip install 'crnn-bench[ray]'")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to hide a folder from a process (unshare --mount)")
    ray = Path(sys.executable).with_name("ray")
    port, client, hidden = stores.free_port(), stores.free_port(), tmp_path / "ours"
    hidden.mkdir()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex * 2)
    words = APART.format(hidden=hidden, ray=ray, port=port)
    with (tmp_path / "ray.log").open("w") as log, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as notes:
        head = [
            ray,
            "start",
            "--head",
            f"--port={port}",
            "--num-cpus=0",
            f"--ray-client-server-port={client}",
            "--block",
        ]
        head += ["--include-dashboard=false", f"--temp-dir={notes}"]  # or others here would take it for theirs
        started = [subprocess.Popen(head, stdout=log, stderr=log)]
        until(lambda: "Ray runtime started" in (tmp_path / "ray.log").read_text(), seconds=60)
        started.append(subprocess.Popen(["unshare", "--mount", "sh", "-c", words], stdout=log, stderr=log))
        yield f"ray://127.0.0.1:{client}", hidden
        for process in reversed(started):
            process.terminate()
            process.wait()


def test_cells_on_a_machine_with_a_disk_of_its_own_end_as_they_do_here(
    cluster: tuple[str, Path], tmp_path: Path
) -> None:
    """It is sent the features, and sends back what a cell leaves through the tracking server."""
    address, ours = cluster
    server_folder, yaml = tmp_path / "server", ours / "apart.yaml"
    server_folder.mkdir()
    yaml.write_text(YAML)
    with stores.server(f"sqlite:///{server_folder / 'mlflow.db'}", server_folder) as server:
        for out, options in ((ours / "near", []), (ours / "far", ["--tracking-uri", server.uri, "--engine", address])):
            with start(yaml, out, *options, CRNN_BENCH_CACHE=str(ours / "cache")) as process:
                output = process.communicate()[0]
            assert process.returncode == 0, output + (tmp_path / "ray.log").read_text()
    assert "2 cells on a Ray cluster of 2 machines" in output
    pd.testing.assert_frame_equal(scores(ours / "far"), scores(ours / "near"), check_exact=True)
