"""Tracking stores that run by themselves: `mlflow server` on SQLite or on a PostgreSQL cluster of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

START_SECONDS = 120
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
POSTGRES += [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []


def free_port() -> int:
    """A port that nobody listened on just now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@dataclass
class MlflowServer:
    """An `mlflow server` that can be killed and started again on the same address.

    Attributes:
        store: URI of its database.
        folder: of its artifacts, which it serves itself.
    """

    store: str
    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, seconds: float = START_SECONDS) -> None:
        """Starts it, and waits until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store, "--workers", "2"]
        command += ["--serve-artifacts", "--artifacts-destination", str(self.folder / "artifacts")]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # four processes more, which nobody asks anything
        for name in ("MLFLOW_TRACKING_URI", "PYTEST_CURRENT_TEST"):
            environment.pop(name, None)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )
        until = time.monotonic() + seconds
        while not self.answers():
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < until, (self.folder / "server.log").read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        """Whether it listens."""
        try:
            return requests.get(f"{self.uri}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """SIGKILL, for it and all its workers."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def server(store: str, folder: Path) -> Iterator[MlflowServer]:
    """A server on a database, for as long as the block lasts."""
    running = MlflowServer(store, folder)
    running.start()
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL cluster in a folder, on a free port; its URI. It refuses to run as root: it runs as `postgres`."""
    programs, port, user = POSTGRES[-1], free_port(), "postgres" if os.geteuid() == 0 else None
    if user:
        for above in (folder, *folder.parents[:-1]):  # the temporary folders of pytest are closed to others
            above.chmod(above.stat().st_mode | 0o011)
        shutil.chown(folder, user)
    data = folder / "cluster"

    def call(*command: str) -> None:
        subprocess.run(command, user=user, check=True, capture_output=True, cwd=folder, timeout=START_SECONDS)

    call(str(programs / "initdb"), "-D", str(data), "-U", "bench", "--auth=trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    controlled = [str(programs / "pg_ctl"), "-D", str(data), "-w"]
    call(*controlled, "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://bench@127.0.0.1:{port}/postgres"
    finally:
        call(*controlled, "-m", "immediate", "stop")
