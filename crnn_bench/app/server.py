"""`crnn-bench serve`: the page and the API at one address, in a process that hears nothing itself."""

import asyncio
import contextlib
import functools
import importlib.util
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crnn_bench import fetching, songs, wording
from crnn_bench.errors import BenchError
from crnn_bench.songs import Songs
from crnn_bench.terminal import console, say
from crnn_bench.whole import is_gone

if TYPE_CHECKING:
    from crnn_bench.app.workers import Workers

NEEDED = ("gradio", "fastapi", "uvicorn", "multipart")
WORKERS = 2  # processes that hear; on 2 cores each has one to itself
WAITING = 24  # requests that may wait for them: with 2 s each for some 24 s
MOST_PORT = 65535
SPARE_THREADS = 8  # for uploads that are written, and the sweep
FOLDER = "crnn-bench-"  # in the system's folder for temporary files; then the process's number
ROUND_SECONDS = 30  # between two looks for uploads that nobody needs any more
KEPT_SECONDS = 900  # that an upload of the page is kept after its last use
GRACE_SECONDS = 3  # for answers under way when the server is stopped
MOST_HEAD_BYTES = 32 * 1024  # of a request's head
MOST_CONNECTIONS = 200
PICKED = ["title", "artist", "track_id"]  # of a song of the library, told to those who pick some
QUIET = {  # gradio asks nobody outside for anything
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False",
}


def serve(model: str, host: str, port: int, library: Path | None, tracking_uri: str | None) -> None:
    """Serves until it is stopped, by Ctrl-C or SIGTERM.

    Args:
        model: a results folder, a bundle's file, a run's id, or `models:/NAME/VERSION`.
        host, port: where to listen; port 0 takes a free one.
        library: music of which playlists are made; the experiment's own songs without it.
        tracking_uri: of the MLflow store of a run or registered model.

    Raises:
        BenchError: an extra, the model or the folder is missing, or the port is taken.
    """
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise BenchError(f"the page needs {name}; pip install 'crnn-bench[app]'")
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.suppress(KeyboardInterrupt), _bound(host, port) as listening, _folder() as folder:
        place = fetching.place(model, tracking_uri)
        only_as = host if ipaddress.ip_address(listening.getsockname()[0]).is_loopback else None
        _run(place, model, _indexed(place, library, folder), folder, listening, only_as)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _bound(host: str, port: int) -> socket.socket:
    """A socket at the address, before any work is done in vain."""
    if not 0 <= port <= MOST_PORT:
        raise BenchError(f"--port {port}: expected 0 to {MOST_PORT}; 0 takes a free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise BenchError(f"--host {host}: {error}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # at once: another server that only bound the same address would be told too late
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or error
        raise BenchError(f"cannot listen at {host}, port {port}: {reason}; give another one with --port") from None
    return bound


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """The only folder that the server writes into; it is gone with the server."""
    _remove_stale(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        tempfile.tempdir = str(folder)  # of uploads that are being received
        os.environ.update(QUIET, TMPDIR=str(folder), GRADIO_TEMP_DIR=str(folder / "page"))
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))
        for part in ("page", "requests"):
            (folder / part).mkdir()
        try:
            yield folder
        finally:
            tempfile.tempdir = None


def _remove_stale(folder: Path) -> None:
    """Removes what servers of this user left that were killed and could not."""
    for path in folder.glob(f"{FOLDER}*-*"):
        number = path.name.removeprefix(FOLDER).partition("-")[0]
        if is_gone(number) and not path.is_symlink() and path.stat().st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)


def _indexed(place: Path, library: Path | None, folder: Path) -> Path | None:
    """A file of the library's songs as the best model places them; heard here, where it may take its time."""
    if library is None:
        return None
    from crnn_bench import shelf
    from crnn_bench.app import playlist

    return playlist.indexed(shelf.best(place).bundle, library).save(folder / "library.parquet")


def _run(
    place: Path, model: str, library: Path | None, folder: Path, listening: socket.socket, only_as: str | None
) -> None:
    import uvicorn

    from crnn_bench.app import connections, fence
    from crnn_bench.app.analysis import Analysis
    from crnn_bench.app.workers import Workers

    with contextlib.closing(Workers(functools.partial(Analysis, place, library), WORKERS, WAITING)) as workers:
        with console.status("opening the models"):  # seen in a terminal alone
            models = workers.ask("models")
        host, port = listening.getsockname()[:2]
        about = _about(place, model)
        app = fence.fenced(_app(place, about, library, folder, models, workers), folder / "page", only_as)
        config = uvicorn.Config(
            app,
            http=connections.Impatient,
            ws="none",
            log_level="error",
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        named = f"[{host}]" if ":" in host else host
        say(f"{about['name']}: {_counted(len(models))}, at http://{named}:{port} (Ctrl-C stops it)")
        uvicorn.Server(config).run(sockets=[listening])


def _counted(n_models: int) -> str:
    return "1 model" if n_models == 1 else f"{n_models} models"


def _app(
    place: Path,
    about: Mapping[str, str],
    library: Path | None,
    folder: Path,
    models: list[Any],
    workers: "Workers",
) -> Any:
    """The API, and the page at `/`."""
    import gradio

    from crnn_bench.app import api, examples, limits, page

    placed = _placed(place, [one.key for one in models])
    own = placed.get(models[0].key)
    mixed = own if library is None else songs.load(library)
    files = {key: some.table["path"].tolist() for key, some in placed.items()}
    app = api.build(models, workers, files, _files(mixed), folder / "requests", _living(folder, workers))
    found = examples.write(folder / "examples", own)
    picked = [] if mixed is None else mixed.table[PICKED].reset_index(names="number").to_dict("records")
    blocks = page.build(about["name"], about["question"], models, workers, found, picked, WORKERS, WAITING)
    given = {"allowed_paths": [str(folder / "examples")], "max_file_size": limits.LARGEST_BYTES, "ssr_mode": False}
    mounted = gradio.mount_gradio_app(app, blocks, path="/", **given, **page.look())
    blocks.has_launched = True  # else gradio takes any file of this machine for one that a visitor uploaded
    return mounted


def _files(some: Songs | None) -> list[str]:
    return [] if some is None else some.table["path"].tolist()


def _about(place: Path, model: str) -> dict[str, str]:
    """The experiment's name and its question, where the place tells them; what is expected would bias a listener.

    The question is what the comment says up to its last question mark, or its first sentence.
    """
    told = (place if place.is_dir() else place.absolute().parent.parent) / "experiment.json"
    if not told.is_file():
        return {"name": place.stem if Path(model).expanduser().exists() else model, "question": ""}
    content = json.loads(told.read_text(encoding="utf-8"))
    sentences = re.split(r"(?<=[.?!])\s+", wording.question(content["yaml"]))
    n_asked = max((number for number, one in enumerate(sentences, 1) if one.endswith("?")), default=1)
    return {"name": content["name"], "question": " ".join(sentences[:n_asked])}


def _placed(place: Path, keys: list[str]) -> dict[str, Songs]:
    """By the models' keys, the songs that each places, where they were kept."""
    folder = place if place.is_dir() else place.absolute().parent.parent
    paths = {key: songs.path_of(folder, key) for key in keys}
    return {key: songs.load(path) for key, path in paths.items() if path.is_file()}


def _living(folder: Path, workers: "Workers") -> Any:
    """A lifespan in which uploads that were not used for a while go, those that broke off among them.

    Each request that waits has a thread of its own, so that the workers' line is what bounds them; the workers end
    before the threads, which wait for them.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        threads = ThreadPoolExecutor(WORKERS + WAITING + SPARE_THREADS)
        asyncio.get_running_loop().set_default_executor(threads)
        task = asyncio.create_task(_sweep(folder / "page"))
        yield
        task.cancel()
        await asyncio.to_thread(workers.close)

    return lifespan


async def _sweep(folder: Path) -> None:
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        await asyncio.to_thread(sweep, folder, KEPT_SECONDS)


def sweep(folder: Path, kept_seconds: float) -> None:
    """Removes files that were neither written nor read for a while, and folders that are empty then."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside comes before its folder
        with contextlib.suppress(OSError):  # someone else was faster, or the folder holds something
            status = path.stat()
            if path.is_dir():
                path.rmdir()
            elif time.time() - max(status.st_atime, status.st_mtime) > kept_seconds:
                path.unlink()
