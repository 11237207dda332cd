"""The API answers as listening itself does, documents itself, bears a load, and leaves nothing when it ends."""

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import matplotlib.image
import numpy as np
import pytest
import soundfile

from crnn_bench import audio, cli, listening, shelf
from crnn_bench.app import api
from crnn_bench.app import server as command
from crnn_bench.app.analysis import Model
from crnn_bench.app.workers import Workers
from crnn_bench.features.gtzan_table import GtzanTable
from crnn_bench.song import Song
from tests.conftest import RATE, tones
from tests.serving import START_SECONDS, Served, await_end, children, served, server, toy_place
from tests.tasks import Slow

__all__ = ["served", "toy_place"]
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "a song.flac"
    soundfile.write(path, tones(1, 0, 9, seconds=7.3), RATE)
    return path


def post(served: Served, what: str, path: Path, **fields: Any) -> httpx.Response:
    with path.open("rb") as file:
        return httpx.post(f"{served}/api/{what}", files={"file": file}, data=fields, timeout=PATIENCE_SECONDS)


# Answers


def test_answers_are_those_of_listening(served: Served, song: Path) -> None:
    said = post(served, "analyse", song, model="all").json()
    assert said["name"] == "a song.flac"
    assert said["seconds"] == pytest.approx(7.3)
    shelved = shelf.models(served.place)
    assert [one["key"] for one in said["models"]] == [one.key for one in shelved]
    assert {one.bundle.about["parameters"]["model"] for one in shelved} >= {"KNN", "LogisticRegression"}
    for answer, one in zip(said["models"], shelved, strict=True):
        heard = listening.listen(one.bundle, song)
        assert answer["label"] == heard.label
        assert answer["title"] == one.title
        assert list(answer["probabilities"]) == list(heard.classes)
        np.testing.assert_allclose(list(answer["probabilities"].values()), heard.compiled(), atol=1e-6)
        np.testing.assert_allclose(answer["timeline"]["probabilities"], heard.probabilities, atol=1e-5)
        np.testing.assert_allclose(answer["timeline"]["start_seconds"], heard.start_seconds)
        assert one.familiarity is not None
        assert answer["familiar"]["distance"] == pytest.approx(
            one.familiarity.distance(heard.vector[None])[0], rel=1e-4
        )
        assert answer["familiar"]["threshold"] == pytest.approx(one.familiarity.threshold)
        assert one.score is None or answer["score"]["value"] == pytest.approx(one.score.value)
        assert [label["probability"] for label in answer["top"]] == sorted(answer["probabilities"].values())[:-4:-1]


def test_one_model_answers_as_among_all(served: Served, song: Path) -> None:
    everyone = post(served, "analyse", song, model="all").json()["models"]
    for answer in everyone:
        (alone,) = post(served, "analyse", song, model=answer["key"], top=3).json()["models"]
        assert alone == answer
    (first,) = post(served, "analyse", song).json()["models"]
    assert first == everyone[0]


def test_similar_songs_can_be_played_in_parts_and_are_never_the_song_itself(served: Served) -> None:
    model = shelf.models(served.place)[0]
    assert model.songs is not None
    own = model.songs.table.iloc[0]
    (answer,) = post(served, "analyse", Path(own["path"])).json()["models"]
    assert own["track_id"] not in [one["track_id"] for one in answer["similar"]]
    assert answer["similar"]
    similarities = [one["similarity"] for one in answer["similar"]]
    assert similarities == sorted(similarities, reverse=True)
    for one in answer["similar"][:3]:
        source = Path(model.songs.table["path"][one["number"]])
        assert model.songs.table["track_id"][one["number"]] == one["track_id"]
        address = f"{served}/api/songs/{answer['key']}/{one['number']}"
        part = httpx.get(address, headers={"range": "bytes=100-199"})
        assert part.status_code == 206
        assert part.content == source.read_bytes()[100:200]
        assert httpx.get(address).headers["content-type"].startswith("audio/")


def test_models_are_told_with_their_scores(served: Served) -> None:
    told, shelved = httpx.get(f"{served}/api/models").json(), shelf.models(served.place)
    assert [(one["key"], one["title"]) for one in told] == [(one.key, one.title) for one in shelved]
    assert [one["classes"] for one in told] == [list(one.bundle.about["classes"]) for one in shelved]
    assert httpx.get(f"{served}/api/health").json() == {"status": "ok", "models": len(shelved)}


def test_features_are_those_of_the_table(served: Served, song: Path) -> None:
    rows = post(served, "features", song).json()["features"]
    table = GtzanTable()
    values = dict(zip(table.columns, table.compute(Song(audio.load(song, 22050), 22050))[0], strict=True))
    assert len(rows) == 29
    assert rows[8] == {"feature": "Tempo", "mean": pytest.approx(values["tempo"]), "variance": None}
    assert rows[0]["feature"] == "Chromagram Short-Time Fourier Transform (Chroma-STFT)"
    assert rows[-1]["feature"] == "Mel-Frequency Cepstral Coefficients (MFCC-20)"
    told = [row[what] for row in rows for what in ("mean", "variance") if row["feature"] != "Tempo"]
    np.testing.assert_allclose(told, [value for name, value in values.items() if name != "tempo"], rtol=1e-5, atol=1e-8)


def test_the_picture_shows_when_and_how_high_a_song_sounds(served: Served, tmp_path: Path) -> None:
    time_s = np.arange(10 * 22050) / 22050
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 4096 * time_s) * (time_s > 5), 22050)
    answer = post(served, "spectrogram", tmp_path / "a.wav")
    assert answer.headers["content-type"] == "image/png"
    picture = matplotlib.image.imread(io.BytesIO(answer.content))
    assert picture.shape[:2] == (400, 1000)
    bright = np.argwhere(picture[20:330, 80:850, :3].sum(axis=2) > 2.2)
    assert bright[:, 1].min() == pytest.approx(805 / 2 - 10, abs=15)  # it begins in the middle
    assert np.ptp(bright[:, 0]) < 30  # and has one pitch


# Playlists


def wanted(served: Served, files: Any = None, **fields: Any) -> httpx.Response:
    return httpx.post(f"{served}/api/playlist", files=files, data=fields, timeout=PATIENCE_SECONDS)


def test_playlists_go_with_uploads_songs_of_the_library_and_histories(served: Served, song: Path) -> None:
    upload = {"seeds": (song.name, song.read_bytes())}
    by_upload = wanted(served, upload, length=5).json()
    by_number = wanted(served, numbers=[0, 1], length=5, variety=0).json()
    assert len(by_upload["songs"]) == len(by_number["songs"]) == 5
    assert not {0, 1} & {one["number"] for one in by_number["songs"]}
    for one in by_number["songs"]:
        assert one["playable"]
        assert httpx.get(one["path"]).status_code == 200
    (placed,) = [one.songs for one in shelf.models(served.place)[:1]]
    assert placed is not None
    seeds = "path,plays\n" + "".join(f"{name},1\n" for name in placed.table["track_id"][:2])
    by_history = wanted(served, {"history": ("h.csv", seeds)}, length=5, variety=0).json()
    assert [one["number"] for one in by_history["songs"]] == [one["number"] for one in by_number["songs"]]


def test_a_playlist_as_m3u8_tells_addresses_and_no_paths(served: Served) -> None:
    text = wanted(served, numbers=[3], length=4, format="m3u8").text
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    assert len(lines) == 9
    assert all(re.fullmatch(rf"{served}/api/library/\d+", line) for line in lines[2::2])


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"numbers": [99999]}, 422),
        ({"numbers": [-1]}, 422),
        ({"numbers": [0], "variety": 2}, 422),
        ({"numbers": [0], "length": 0}, 422),
        ({"numbers": [0], "format": "exe"}, 422),
    ],
)
def test_playlists_of_nothing_are_refused(served: Served, fields: dict[str, Any], status: int) -> None:
    assert wanted(served, **fields).status_code == status


@pytest.mark.parametrize("history", ["", "title\nx\n", "path\nnobody\n", "path,plays\nx,many\n", "\0\0", "a" * 10**6])
def test_histories_that_are_none_are_refused_in_words(served: Served, history: str) -> None:
    answer = wanted(served, {"history": ("h.csv", history)})
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
    assert str(served.temporary) not in answer.text


# Documentation


def test_the_api_is_documented(served: Served) -> None:
    paths = httpx.get(f"{served}/openapi.json").json()["paths"]
    assert set(paths) == {
        "/api/health",
        "/api/models",
        "/api/analyse",
        "/api/features",
        "/api/spectrogram",
        "/api/playlist",
        "/api/songs/{key}/{number}",
        "/api/library/{number}",
    }
    for methods in paths.values():
        for method, one in methods.items():
            assert one["summary"]
            assert method == "get" or set(one["responses"]) >= {"200", "400", "413", "415", "422", "503", "504"}


def test_the_documentation_needs_no_other_host(served: Served) -> None:
    page = httpx.get(f"{served}/docs").text
    assert "openapi.json" in page
    assert "//" not in re.sub(r"(?m)^\s*//.*$", "", page).replace("location.origin", "")


@pytest.mark.parametrize(("fields", "status"), [({"model": "none"}, 400), ({"top": 0}, 422), ({"top": "x"}, 422)])
def test_fields_that_are_wrong_are_told(served: Served, song: Path, fields: dict[str, Any], status: int) -> None:
    assert post(served, "analyse", song, **fields).status_code == status
    assert httpx.post(f"{served}/api/analyse", data=fields).status_code == 422


# When too many come, or a task goes wrong


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    folder = tmp_path_factory.mktemp("requests")
    model = Model("slow", "Slow", ("a",), None)
    with contextlib.closing(Workers(Slow, 1, 1, seconds=3)) as desk:
        yield api.build([model], desk, {}, [], folder, lambda app: contextlib.nullcontext()), folder


def asked(slow: tuple[Any, Path], *names: str) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(slow[0])
        async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=PATIENCE_SECONDS) as client:
            some = (client.post("/api/analyse", files={"file": (name, b"la")}) for name in names)
            return list(await asyncio.gather(*some))

    answers = asyncio.run(ask())
    assert not list(slow[1].iterdir())
    return answers


def test_too_many_are_told_when_to_come_again(slow: tuple[Any, Path]) -> None:
    answers = asked(slow, *(f"{number}.wav" for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
            assert "try again" in answer.json()["detail"]


def test_as_many_can_wait_as_there_are_places(tmp_path: Path) -> None:
    """Each waits in a thread of its own; with fewer threads, nobody would ever be told that there are too many."""
    desk = Workers(Slow, 1, 0)
    places = command.WORKERS + command.WAITING

    async def wait() -> None:
        met = threading.Barrier(places + 1)
        async with command._living(tmp_path, desk)(None):
            await asyncio.gather(*(asyncio.to_thread(met.wait, PATIENCE_SECONDS) for _ in range(places + 1)))

    asyncio.run(wait())
    assert desk.pids == [] or not any(Path(f"/proc/{pid}").exists() for pid in desk.pids), "the workers end with it"


def test_what_killed_servers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = [f"crnn-bench-{gone.pid}-a", f"crnn-bench-{os.getpid()}-b", "crnn-bench-old", f"other-{gone.pid}-c"]
    for name in names:
        (tmp_path / name / "page").mkdir(parents=True)
    command._remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_tasks_that_crash_or_never_end_are_told(slow: tuple[Any, Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert [answer.status_code for answer in asked(slow, "abort.wav")] == [422]
    assert [answer.status_code for answer in asked(slow, "loop.wav")] == [504]
    assert [answer.status_code for answer in asked(slow, "a.wav")] == [200]


# The command


def test_a_taken_port_a_folder_without_models_and_no_folder_are_told_in_a_line(
    toy_place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        cases = {
            "cannot listen": [str(toy_place), "--port", str(other.getsockname()[1])],
            "--host nowhere": [str(toy_place), "--host", "nowhere.invalid"],
            "no trained model": [str(tmp_path), "--port", "0"],
            "none": [str(tmp_path / "none"), "--port", "0"],
            "no folder": [str(toy_place), "--port", "0", "--library", str(tmp_path / "none")],
        }
        for words, arguments in cases.items():
            command = [sys.executable, "-m", "crnn_bench", "serve", *arguments]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
            assert ended.returncode == 2, words
            assert words in ended.stderr
            assert ended.stderr.count("\n") == 1
            assert ended.stdout == ""


@pytest.mark.parametrize("name", ["gradio", "uvicorn"])
def test_a_missing_extra_is_told_in_a_line(
    name: str, toy_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda one, *more: None if one == name else known(one, *more))
    assert cli.main(["serve", str(toy_place), "--port", "0"]) == 2
    assert capsys.readouterr().err == f"crnn-bench: the page needs {name}; pip install 'crnn-bench[app]'\n"


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_no_process(toy_place: Path, tmp_path: Path) -> None:
    pids: list[int] = []
    with contextlib.suppress(AssertionError), server(toy_place, tmp_path / "temporary") as running:  # its code is not 0
        pids += children(running.pid)
        os.kill(running.pid, signal.SIGKILL)
    assert len(pids) >= 2
    await_end(pids)


@pytest.mark.parametrize(
    ("comment", "asked"),
    [
        ("# Who is it? Four artists. Which model?\n# Expected F1: 0.9.\n", "Who is it? Four artists. Which model?"),
        ("# Four artists, by album.\n# Published F1: 0.9 (example.org/?a).\n", "Four artists, by album."),
        ("", ""),
    ],
)
def test_a_listener_is_told_the_question_and_not_what_is_expected(comment: str, asked: str, tmp_path: Path) -> None:
    content = {"name": "four", "yaml": f"{comment}name: four\n"}
    (tmp_path / "experiment.json").write_text(json.dumps(content))
    assert command._about(tmp_path, str(tmp_path)) == {"name": "four", "question": asked}


# Load

REQUESTS, AT_A_TIME, BEFORE = 500, 16, 50


def resident(served: Served) -> int:
    """Bytes of memory of the server and its workers."""
    lines = [Path(f"/proc/{pid}/status").read_text() for pid in [served.pid, *children(served.pid)]]
    return sum(int(found[1]) * 1024 for text in lines if (found := re.search(r"VmRSS:\s+(\d+)", text)))


@pytest.mark.slow
def test_500_requests_16_at_a_time_bring_no_error_and_take_no_memory(
    served: Served, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = song.read_bytes()

    def ask(number: int) -> tuple[int, float]:
        start = time.perf_counter()
        answer = client.post(f"{served}/api/analyse", files={"file": (f"{number}.flac", content)})
        return answer.status_code, time.perf_counter() - start

    with httpx.Client(timeout=PATIENCE_SECONDS) as client, ThreadPoolExecutor(AT_A_TIME) as pool:
        first = list(pool.map(ask, range(BEFORE)))
        before = resident(served)
        rest = list(pool.map(ask, range(BEFORE, REQUESTS)))
        after = resident(served)
    assert {status for status, _ in first + rest} == {200}
    assert after <= 1.10 * before
    p95 = statistics.quantiles([seconds for _, seconds in rest], n=20)[-1]
    with capsys.disabled():
        print(f"\n{REQUESTS} requests, {AT_A_TIME} at a time: p95 {p95:.2f} s, {after / before - 1:+.1%} memory")
