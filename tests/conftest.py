"""Small music that the tests make themselves: 4 artists × 3 albums × 3 songs of a few tones."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"  # the test processes share the cores

TEMPLATE = "template.db"
CHROMIUM = shutil.which("chromium")
RATE = 16000
ARTISTS = ("Alder", "Birch", "Cedar", "Dogwood")
REAL_MUSIC = Path(__file__).parents[2] / "shared" / "data"


@pytest.hookimpl(trylast=True)  # of those that are chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests that take long come first, so that no process ends with them while the others are idle."""
    long = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in long)


def tones(artist: int, album: int, song: int, seconds: float = 4.0, rate: int = RATE) -> NDArray[np.float32]:
    """A chord whose pitch tells the artist, with a little noise; another phase and melody in every song."""
    rng = np.random.default_rng([artist, album, song])
    time = np.arange(int(seconds * rate)) / rate
    root = 110 * 2 ** (artist * 7 / 12)
    parts = [np.sin(2 * np.pi * root * partial * time + rng.uniform(0, 6)) / partial for partial in (1, 2, 3, 5)]
    melody = np.sin(2 * np.pi * root * 4 * 2 ** (rng.integers(0, 12) / 12) * time) * (np.sin(2 * np.pi * time) > 0)
    mixed = sum(parts) + 0.5 * melody + 0.02 * rng.standard_normal(len(time))
    return (0.2 * mixed).astype(np.float32)


def write_music(root: Path, artists: int = 4, albums: int = 3, songs: int = 3, seconds: float = 4.0) -> Path:
    """Writes `root/artist/album/song.wav`."""
    for artist in range(artists):
        for album in range(albums):
            folder = root / ARTISTS[artist] / f"{ARTISTS[artist]} {album}"
            folder.mkdir(parents=True)
            for song in range(songs):
                soundfile.write(folder / f"song {song}.wav", tones(artist, album, song, seconds), RATE)
    return root


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 songs of 4 s, `artist/album/song.wav`; not to be changed."""
    return write_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here; pip install playwright")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with nothing in it, to be copied."""
    from crnn_bench import tracking

    path = tmp_path_factory.mktemp("database") / TEMPLATE
    tracking.connect(f"sqlite:///{path}", "nothing")
    path.chmod(0o444)  # whoever writes into it fails, and not those who get a copy later
    return path


@pytest.fixture(autouse=True, scope="session")
def stores_are_copies(request: pytest.FixtureRequest) -> Iterator[None]:
    """A new store is a copy of an empty one: to make one takes seconds, to copy it none."""
    from crnn_bench import tracking

    connect = tracking.connect

    def connect_to_copy(uri: str, experiment: str) -> Any:
        path = Path(uri.removeprefix("sqlite:///"))
        if uri.startswith("sqlite:///") and path.parent.is_dir() and not path.exists() and path.name != TEMPLATE:
            try:
                shutil.copyfile(request.getfixturevalue("database"), path)
            except OSError:  # on a full disk, say, which is for MLflow to meet
                path.unlink(missing_ok=True)
        return connect(uri, experiment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "connect", connect_to_copy)
        patch.setenv("EMPTY_STORE", str(request.getfixturevalue("database")))
        yield


@pytest.fixture(autouse=True, scope="module")
def own_store() -> None:
    """No tracking store of an earlier file's tests: MLflow writes the one that it is told into the environment."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature cache of the test process's own, so that no test reads what a user has stored."""
    path = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(path))
    return path


@pytest.fixture
def real_music() -> Path:
    """The folder of real music; the test skips where it is absent."""
    if not REAL_MUSIC.is_dir():
        pytest.skip(f"no real music in {REAL_MUSIC}")
    return REAL_MUSIC
