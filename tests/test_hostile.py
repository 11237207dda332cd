"""Uploads that mean harm, or are nothing but broken: each is refused in words, and the server goes on as before."""

import contextlib
import json
import os
import socket
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from crnn_bench.app import limits, server
from crnn_bench.audio import UnusableAudioError
from crnn_bench.errors import BenchError
from tests.conftest import RATE, tones
from tests.serving import Served, served, toy_place

__all__ = ["served", "toy_place"]
MB = 10**6
PATIENCE_SECONDS = 60


def wave(path: Path, **how: Any) -> bytes:
    soundfile.write(path, tones(0, 0, 7), RATE, **how)
    return path.read_bytes()


def claiming(content: bytes, n_bytes: int) -> bytes:
    """A WAV file whose header promises so many bytes of sound."""
    at = content.index(b"data") + 4
    claim = struct.pack("<I", n_bytes)
    return content[:4] + claim + content[8:at] + claim + content[at + 4 :]


def hours_of_silence(path: Path, hours: float) -> bytes:
    """An MP3 at 8 kbit/s, some of its frames many times over; 36 bytes each, of 36 ms."""
    soundfile.write(path, np.zeros(20 * RATE), RATE, bitrate_mode="CONSTANT", compression_level=0.99)
    frames = path.read_bytes()[360 : 360 + 500 * 36]
    assert frames.count(frames[:4]) == 500
    return frames * int(hours * 3600 / 18)


def zip_bomb(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("song.wav", bytes(50 * MB))
    return path.read_bytes()


def nan(path: Path) -> bytes:
    samples = tones(0, 0, 7)
    samples[1000] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path.read_bytes()


def silence(path: Path) -> bytes:
    soundfile.write(path, np.zeros(4 * RATE), RATE)
    return path.read_bytes()


def short(path: Path) -> bytes:
    soundfile.write(path, tones(0, 0, 7, seconds=0.7), RATE)
    return path.read_bytes()


def choir(path: Path) -> bytes:
    soundfile.write(path, np.zeros((RATE, 64)), RATE)
    return path.read_bytes()


BAD: dict[str, tuple[Callable[[Path], bytes], int, str]] = {
    "zip bomb.wav": (zip_bomb, 415, "no audio"),
    "text.mp3": (lambda path: b"la la la " * 9000, 415, "no audio"),
    "noise.mp3": (lambda path: np.random.default_rng(0).bytes(MB), 415, "no audio"),
    "page.html": (lambda path: b"<script>alert(1)</script>", 415, "no audio file by its name"),
    "empty.wav": (lambda path: b"", 422, "empty"),
    "cut off.wav": (lambda path: claiming(wave(path), 10**9), 422, "cut off"),
    "promises.wav": (lambda path: claiming(wave(path)[:44], 2**32 - 1), 422, "too short"),
    "ten hours.mp3": (lambda path: hours_of_silence(path, 10), 422, "600 minutes"),
    "silent.wav": (silence, 422, "silent"),
    "short.wav": (short, 422, "shorter than a slice"),
    "nan.wav": (nan, 422, "NaN"),
    "choir.wav": (choir, 422, "64 channels"),
}


def left_behind(served: Served) -> list[Path]:
    """Files of requests and uploads in the server's folder, once what is under way is over."""
    (folder,) = served.temporary.glob("crnn-bench-*")
    until = time.monotonic() + PATIENCE_SECONDS
    while found := [path for part in ("requests", "page") for path in (folder / part).rglob("*") if path.is_file()]:
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    return found


@pytest.fixture(autouse=True)
def _answers_and_keeps_nothing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Whatever a test sends: the server still hears a song afterwards, and no file is left."""
    running = request.getfixturevalue("served") if "served" in request.fixturenames else None
    yield
    if running is None:
        return
    answer = httpx.post(f"{running}/api/analyse", files={"file": ("good.wav", wave(tmp_path / "g.wav"))}, timeout=60)
    assert answer.status_code == 200
    assert left_behind(running) == []


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("what", ["analyse", "features", "spectrogram"])
def test_bad_files_are_refused_in_words(served: Served, tmp_path: Path, name: str, what: str) -> None:
    make, status, words = BAD[name]
    content = make(tmp_path / name)
    answer = httpx.post(f"{served}/api/{what}", files={"file": (name, content)}, timeout=PATIENCE_SECONDS)
    if name == "short.wav" and what != "analyse":  # no slices are cut
        assert answer.status_code == 200
        return
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert str(served.temporary) not in answer.text


def test_a_header_that_claims_4_gb_is_told_and_what_is_there_is_heard(served: Served, tmp_path: Path) -> None:
    content = wave(tmp_path / "whole.wav")
    whole, claimed = (
        httpx.post(f"{served}/api/analyse", files={"file": ("a.wav", some)}, timeout=PATIENCE_SECONDS).json()
        for some in (content, claiming(content, 2**32 - 1))
    )
    assert whole["remark"] is None
    assert "promises 4,295.0 MB of sound, but 0.1 MB are there" in claimed["remark"]
    assert claimed["models"] == whole["models"]
    assert claimed["seconds"] == pytest.approx(4)


@pytest.mark.parametrize(
    "name", ["../../../escaped.wav", "/etc/escaped.wav", "..\\..\\escaped.wav", "a/../../escaped.wav", "\0/escaped.wav"]
)
def test_names_lead_nowhere(served: Served, tmp_path: Path, name: str) -> None:
    assert limits.harmless(name) == "escaped.wav"
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    body = head + wave(tmp_path / "a.wav") + b"\r\n--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{served}/api/analyse", content=body, headers=kind, timeout=PATIENCE_SECONDS)
    if answer.status_code == 200:
        assert answer.json()["name"] == "escaped.wav"
    assert not list(served.temporary.rglob("escaped.wav"))
    assert not Path("/etc/escaped.wav").exists()


def test_long_names_in_any_alphabet_are_heard(served: Served, tmp_path: Path) -> None:
    name = "歌" * 100 + ".wav"
    answer = httpx.post(f"{served}/api/analyse", files={"file": (name, wave(tmp_path / "a.wav"))}, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["name"] == name[-69:]


def test_silence_of_more_samples_than_any_music_is_refused_by_its_header(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 2000, 8) as file:
        file.write(np.zeros((2000, 8), np.int16))
    assert limits.looked_at(tmp_path / "a.flac").seconds == 1
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[22:26] = (130_000_000).to_bytes(4, "big")  # frames, of the stream's own description
    content[18:21] = (400_000 << 4 | 7 << 1).to_bytes(3, "big")  # Hz, 8 channels
    (tmp_path / "a.flac").write_bytes(content)
    with pytest.raises(UnusableAudioError, match="1040 million samples"):
        limits.looked_at(tmp_path / "a.flac")


@pytest.mark.parametrize("name", ["", None, "..", "wav", ".wav/", "song.exe", "a.wav/b"])
def test_names_without_an_audio_ending_are_refused(name: str | None) -> None:
    with pytest.raises(limits.NotAudioError):
        limits.harmless(name)


def test_reserved_and_long_names_are_made_harmless() -> None:
    assert limits.harmless("a\nb;rm -rf $HOME`.wav") == "a_b_rm -rf _HOME_.wav"
    assert limits.harmless("Größe – Übung.MP3") == "Größe _ Übung.MP3"
    for letter in ("a", "é", "歌", "𝄞"):
        name = limits.harmless(letter * 5000 + ".wav")
        assert 190 < len(name.encode()) <= limits.LONGEST_NAME
        assert set(name.removesuffix(".wav")) == {letter if letter.isalnum() else "_"}


# Bodies that are too large


def connected(served: Served) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("path", ["/api/analyse", "/gradio_api/upload", "/api/playlist", "/"])
def test_201_mb_are_refused_before_a_byte_is_sent(served: Served, path: str) -> None:
    with connected(served) as there:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        there.sendall(f"{head}Content-Length: {201 * MB}\r\n\r\n".encode())
        answer = there.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"200 MB" in answer


@pytest.mark.parametrize("path", ["/api/analyse", "/gradio_api/upload"])
def test_a_body_of_untold_length_is_refused_when_it_passes_the_limit(served: Served, path: str) -> None:
    block = b"100000\r\n" + bytes(2**20) + b"\r\n"
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    taken = 0
    with connected(served) as there:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        there.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n{len(start):x}\r\n".encode() + start + b"\r\n")
        with contextlib.suppress(ConnectionError):
            while taken < 400 * MB:
                there.sendall(block)
                taken += 2**20
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = there.recv(2**16)
    assert taken < 230 * MB  # the rest was on its way, in the system's buffers
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("length", ["-1", "1e3", "x", str(2**70)])
def test_lengths_that_are_none_are_refused(served: Served, length: str) -> None:
    with connected(served) as there:
        there.sendall(f"POST /api/analyse HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        assert there.makefile("rb").read().split()[1] in (b"400", b"413")


@pytest.mark.parametrize("path", ["/api/analyse", "/gradio_api/upload"])
def test_clients_that_hang_up_leave_nothing(served: Served, path: str) -> None:
    for sent in (0, 10_000, 5 * MB):
        with connected(served) as there:
            there.sendall(
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                f"Content-Length: {50 * MB}\r\n\r\n".encode()
                + b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
                + bytes(sent)
            )


# Files outside


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=../../../../../../etc/passwd",
        "file=%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "file/etc/passwd",
        "file=http://127.0.0.1:9/",
        "file=HTTPS://127.0.0.1:9/",
        "proxy=http://127.0.0.1:9/",
        "stream/a/b/c/playlist.m3u8",
        "custom_component/x/client/component/../../../etc/passwd",
        "deep_link?session_hash=x",
        "openapi.json",
        "vibe-code",
        "../monitoring",
        "../monitoring/summary",
    ],
)
def test_the_page_serves_nothing_from_outside(served: Served, path: str) -> None:
    answer = httpx.get(f"{served}/gradio_api/{path}")
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["run/answer", "call/answer", "call/v2/answer", "api/answer", "process_recording"])
def test_the_page_has_no_functions_to_call(served: Served, path: str) -> None:
    assert httpx.post(f"{served}/gradio_api/{path}", json={"data": ["/etc/passwd", "all"]}).status_code == 404


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "http://192.0.2.1/a.wav", "../../etc/passwd"])
def test_the_page_hears_no_file_that_was_not_uploaded(served: Served, path: str) -> None:
    config = httpx.get(f"{served}/config").json()
    (answer,) = [one for one in config["dependencies"] if one["api_name"] == "answer"]
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, "all"]
    ask = {"data": data, "fn_index": answer["id"], "session_hash": "hostile", "event_data": None, "trigger_id": None}
    joined = httpx.post(f"{served}/gradio_api/queue/join", json=ask)
    told = []
    if joined.status_code == 200:
        stream = httpx.stream("GET", f"{served}/gradio_api/queue/data?session_hash=hostile", timeout=PATIENCE_SECONDS)
        with stream as lines:
            told = [json.loads(line.removeprefix("data: ")) for line in lines.iter_lines() if line]
        assert any(one["msg"] == "process_completed" and not one["success"] for one in told)
    assert "root:" not in joined.text + json.dumps(told)


@pytest.mark.parametrize("number", ["-1", "99999999", "../../etc/passwd", "%2e%2e%2fetc%2fpasswd", "0.5"])
def test_players_get_songs_of_the_list_alone(served: Served, number: str) -> None:
    key = httpx.get(f"{served}/api/models").json()[0]["key"]
    for path in (f"songs/{key}/{number}", f"library/{number}", f"songs/{number}/0"):
        assert httpx.get(f"{served}/api/{path}").status_code in (404, 422)


def test_every_answer_says_that_nothing_comes_from_elsewhere(served: Served) -> None:
    for path in ("/", "/docs", "/api/health", "/gradio_api/nothing"):
        headers = httpx.get(f"{served}{path}").headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_another_name_for_this_machine_is_refused(served: Served) -> None:
    answer = httpx.get(f"{served}/api/models", headers={"host": "example.org"})
    assert answer.status_code == 421
    assert "localhost alone" in answer.json()["detail"]


def test_the_page_fetches_nothing_for_a_visitor() -> None:
    import asyncio

    from gradio import processing_utils

    from crnn_bench.app import fence

    before = processing_utils.async_ssrf_protected_get
    try:
        fence.fenced(lambda scope, receive, send: asyncio.sleep(0), Path(), None)
        with pytest.raises(BenchError, match="not fetched"):
            asyncio.run(processing_utils.async_ssrf_protected_download("https://example.org/a.wav", "/nowhere"))
    finally:
        processing_utils.async_ssrf_protected_get = before


def test_uploads_that_nobody_used_for_a_while_are_swept(tmp_path: Path) -> None:
    for name in ("old/a.wav", "new/b.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / "old/a.wav", (0, 0))
    server.sweep(tmp_path, 60)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["new", "b.wav"]
