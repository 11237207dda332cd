"""What clients of ill will, or of slow lines, may take of what all share."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from crnn_bench.app import connections, fence, limits, shares
from crnn_bench.app.limits import Asgi, Message, Receive, Scope, Send

PATIENCE_SECONDS = 30


async def eager(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that reads a body and tells how long it is."""
    n_bytes, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        n_bytes += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(n_bytes).encode()})


class Waiting:
    """An app that answers when it is let."""

    def __init__(self) -> None:
        self.go, self.n_begun = asyncio.Event(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.n_begun += 1
        await self.go.wait()
        await eager(scope, receive, send)


def client(app: Asgi, address: str = "192.0.2.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://x")


def test_one_address_leaves_room_for_others(tmp_path: Path) -> None:
    async def ask() -> None:
        app = Waiting()
        fair = shares.shared(app, tmp_path)
        async with client(fair) as one, client(fair, "192.0.2.2") as other:
            many = [asyncio.ensure_future(one.post("/api/analyse")) for _ in range(shares.MOST_OF_ONE)]
            while app.n_begun < shares.MOST_OF_ONE:
                await asyncio.sleep(0)
            refused = await one.post("/api/analyse")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            else_ = [asyncio.ensure_future(some) for some in (other.post("/api/analyse"), one.post("/page"))]
            app.go.set()
            assert {answer.status_code for answer in await asyncio.gather(*many, *else_)} == {200}
            assert (await one.post("/api/analyse")).status_code == 200

    asyncio.run(ask())


def test_uploads_are_refused_while_there_is_no_room_for_them(tmp_path: Path) -> None:
    async def ask() -> None:
        app = Waiting()
        async with client(shares.shared(app, tmp_path, most_bytes=1_000_000)) as one:
            first = asyncio.ensure_future(one.post("/upload", content=bytes(600_000)))
            while not app.n_begun:
                await asyncio.sleep(0)
            assert (await one.post("/upload", content=bytes(600_000))).status_code == 503
            app.go.set()
            assert (await first).text == "600000"
            assert (await one.post("/upload", content=bytes(600_000))).status_code == 200
            (tmp_path / "kept").mkdir()
            (tmp_path / "kept" / "a.wav").write_bytes(bytes(600_000))
            assert (await one.post("/upload", content=bytes(600_000))).status_code == 503
            assert (await one.post("/upload", content=bytes(60_000))).status_code == 200

    asyncio.run(ask())


def test_a_body_that_would_take_hours_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDLE_SECONDS", 0.2)
    sent: list[Message] = []

    async def drop_by_drop() -> Message:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"1000000")]}
    asyncio.run(asyncio.wait_for(limits.bounded(eager)(scope, drop_by_drop, send), PATIENCE_SECONDS))
    assert sent == []


def test_a_site_elsewhere_cannot_ask_in_a_visitors_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "_fetch_nothing", lambda: None)  # which is about gradio, and not undone

    async def ask(site: str) -> int:
        async with client(fence.fenced(eager, tmp_path, None)) as one:
            answer = await one.post("/api/analyse", content=b"x", headers={"sec-fetch-site": site})
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            return answer.status_code

    assert [asyncio.run(ask(site)) for site in ("cross-site", "same-origin", "none")] == [403, 200, 200]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7860", 200),
        ("127.0.0.1", 200),
        ("127.1.2.3:80", 200),
        ("[::1]:7860", 200),
        ("LOCALHOST.:80", 200),
        ("studio:7860", 200),
        ("::1", 421),  # no host that a browser sends
        ("example.org", 421),
        ("localhost.example.org:7860", 421),
        ("192.168.0.1:7860", 421),
        ("", 421),
    ],
)
def test_a_server_for_its_own_machine_is_not_asked_by_names_of_others(
    host: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "_fetch_nothing", lambda: None)

    async def ask(name: str | None) -> int:
        async with client(fence.fenced(eager, tmp_path, name)) as one:
            return (await one.get("/api/health", headers={"host": host})).status_code

    assert asyncio.run(ask("Studio")) == status
    assert asyncio.run(ask(None)) == 200


@contextlib.contextmanager
def running(app: Asgi) -> Iterator[tuple[str, int]]:
    """uvicorn with our connections; the address."""
    config = uvicorn.Config(
        app, http=connections.Impatient, ws="none", lifespan="off", log_level="error", timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT"])
def test_connections_that_say_no_more_are_closed(monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with running(eager) as address, socket.create_connection(address, timeout=PATIENCE_SECONDS) as there:
        there.sendall(beginning)
        answer = there.makefile("rb").read()  # until it is closed
    assert answer.startswith(b"HTTP/1.1 200") == beginning.endswith(b"HT")


def test_a_head_that_dribbles_in_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    forgiven = contextlib.suppress(ConnectionError)
    with running(eager) as address, socket.create_connection(address, timeout=PATIENCE_SECONDS) as there, forgiven:
        for _ in range(PATIENCE_SECONDS * 20):
            there.sendall(b"X")
            time.sleep(0.05)
        pytest.fail("the server still listens")


def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.6)
        await eager(scope, receive, send)

    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with running(slow) as (host, port), httpx.Client(timeout=PATIENCE_SECONDS) as one:
        assert [one.post(f"http://{host}:{port}/", content=b"la").text for _ in range(2)] == ["2", "2"]
