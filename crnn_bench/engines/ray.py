"""Tasks on a Ray cluster: one that runs already, or one begun here."""

import fcntl
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from crnn_bench.engines import Engine, MachineDied, Unforeseen, WorkerDied, attempt
from crnn_bench.errors import BenchError
from crnn_bench.whole import replacing

Answer = TypeVar("Answer")

SECONDS_TO_END = 15.0  # a task that is interrupted has to close its run
MOST_AT_ONCE = 256  # tasks that the cluster knows of; it begins as many of them as it has room for
HANDED_ON = ("MLFLOW_",)  # beginnings of environment variables that tasks need: the tracking store's keys


class Ray(Engine):
    """Carries out tasks as Ray's, each with its share of processors.

    Without an address it joins the cluster that RAY_ADDRESS names or that `ray start` began on this machine, and begins
    one of this machine alone where there is none. Every machine needs the package; the results folder may lie on a
    disk that all see, or tracking goes to a server that keeps the files. Features are read where they are seen; else
    each machine fetches them once, to the same path.
    """

    takes_address = True
    sees_one_disk = False

    def __init__(self, workers: int | None = None, cpus: int | None = None, address: str = "") -> None:
        super().__init__(workers or MOST_AT_ONCE, cpus, address)
        self._shared: dict[Path, Any] = {}
        self._sharing = threading.Lock()
        self._running: set[Any] = set()
        self._stopped = False
        self._words = "a Ray cluster"

    def __enter__(self) -> "Ray":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a task without GPUs keeps those it sees
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # what died is told by its task, in a line
        try:
            import ray
        except ImportError:
            raise BenchError("--engine ray needs Ray; pip install 'crnn-bench[ray]'") from None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a client that finds no cluster: it raises, too
                try:
                    self._join()
                except ConnectionAbortedError:  # a cluster's server for a client may die at its start, and another not
                    self._join()
        except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
            where = self.address or os.environ.get("RAY_ADDRESS", "this machine")
            remedy = "begin one there with `ray start --head`; one that asks for a token wants RAY_AUTH_MODE=token here"
            raise BenchError(f"no Ray cluster answers at {where} ({_lines(error)[-1]}); {remedy}") from None
        nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        self._words = f"a Ray cluster of {len(nodes)} machine{'s' * (len(nodes) > 1)}"
        self._remote = ray.remote(_carry_out).options(num_cpus=self.cpus or 1, max_retries=0)
        return self

    def _join(self) -> None:
        """Joins a cluster, or begins one."""
        import ray

        environment = {"env_vars": {"PYTHONPATH": _places()}}
        ray.init(self.address or None, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)

    def ask(self, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        said = self._get(self._remote.remote(function, arguments, self.files, {}, _keys()))
        if isinstance(said, _Lacking):
            contents = {path: self._share(path) for path in said.paths}
            said = self._get(self._remote.remote(function, arguments, self.files, contents, _keys()))
        answer, fault = said
        if fault:
            raise fault
        told: Answer = answer
        return told

    def _get(self, running: Any) -> Any:
        """Waits for a task, and says in our words what became of its worker."""
        import ray
        from ray import exceptions as of_ray

        self._running.add(running)
        if self._stopped:
            ray.cancel(running)
        try:
            return ray.get(running)
        except (of_ray.NodeDiedError, of_ray.LocalRayletDiedError, of_ray.ObjectLostError) as error:
            raise MachineDied(f"its machine went away ({_lines(error)[0]})") from None
        except of_ray.TaskCancelledError:
            raise KeyboardInterrupt from None
        except of_ray.RayTaskError as error:
            raise Unforeseen(_lines(error)[0]) from error
        except of_ray.RayError as error:
            raise WorkerDied(f"its process died ({_lines(error)[0]})") from None
        finally:
            self._running.discard(running)

    def _share(self, path: Path) -> Any:
        """A file's content in the cluster's memory, once for all machines."""
        import ray

        with self._sharing:
            if path not in self._shared:
                self._shared[path] = ray.put(path.read_bytes())
            return self._shared[path]

    def stop(self) -> None:
        import ray

        self._stopped = True
        left = list(self._running)
        for running in left:
            ray.cancel(running)
        if left:
            _, left = ray.wait(left, num_returns=len(left), timeout=SECONDS_TO_END)
        for running in left:
            ray.cancel(running, force=True)
        super().stop()
        ray.shutdown()

    @property
    def words(self) -> str:
        return self._words


class _Lacking(NamedTuple):
    """Files that a machine does not see."""

    paths: list[Path]


def _carry_out(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    files: Sequence[Path],
    contents: Mapping[Path, Any],
    keys: Mapping[str, str],
) -> Any:
    """Runs on the cluster; `contents` are references to what files hold that this machine did not see."""
    os.environ.update(keys)
    if threading.current_thread() is threading.main_thread():  # else Ray could not interrupt what nohup began
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for path, content in contents.items():
        _fetch(path, content)
    lacking = [path for path in files if not path.exists()]
    return _Lacking(lacking) if lacking else attempt(function, arguments)


def _fetch(path: Path, content: Any) -> None:
    """Writes a file of the cluster's memory, once a machine."""
    import ray

    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".fetching").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with replacing(path) as part:
                part.write_bytes(ray.get(content))


def _places() -> str:
    """Where this process finds a user's own classes, as PYTHONPATH has it."""
    here = (sys.prefix, sys.base_prefix)
    own = [os.path.abspath(path) for path in sys.path if not os.path.abspath(path).startswith(here)]
    return os.pathsep.join(dict.fromkeys(own))


def _keys() -> dict[str, str]:
    """Variables that tasks need; passwords may be among them, which the cluster's own records would show."""
    return {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}


def _lines(error: Exception) -> list[str]:
    """What an error says, in one line at least."""
    return [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
