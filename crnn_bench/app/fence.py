"""What of gradio's server is open to visitors, and how every answer is marked; the bound on bodies, too."""

import ipaddress
import re
from pathlib import Path
from typing import Any

from crnn_bench.app import limits, shares
from crnn_bench.app.limits import Asgi, Message, Receive, Scope, Send
from crnn_bench.errors import BenchError

GRADIO = "/gradio_api/"
CLOSED = ("/monitoring", "/login", "/logout", "/pwa_icon")  # and what of the rest of gradio has no use here
UPLOAD = "/gradio_api/upload"
OPEN = re.compile(  # what the page itself needs; no calls of functions, proxies, or files by their address elsewhere
    r"upload|upload_progress|queue/(join|data)|heartbeat/\w+|startup-events/?|cancel|reset/?|theme\.css|app_id/?"
    r"|login_check/?|info/?|file=(?!\w+:).+"
)
POLICY = "; ".join(  # gradio's scripts are in its page, and compile templates; nothing comes from elsewhere
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),  # no other site plays the library's songs
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


def fenced(app: Asgi, uploads: Path, name: str | None) -> Asgi:
    """The app as visitors may use it.

    Args:
        app: gradio's page, mounted at `/`, and whatever else.
        uploads: where gradio writes what is being uploaded; it forgets what breaks off.
        name: of a server for its own machine, which is asked by that name, or as localhost, alone: a page elsewhere
            whose own name is made to lead here would else read the answers (DNS rebinding). `None` of one for all.
    """
    _fetch_nothing()
    bounded, n_uploading = limits.bounded(shares.shared(app, uploads)), 0

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal n_uploading
        path = scope.get("path", "")
        if name is not None and not _is_asked_as(name, scope):
            return await limits.refuse(_marked(send), 421, "this server is for localhost alone; --host opens it")
        if path.startswith(CLOSED) or (path.startswith(GRADIO) and not OPEN.fullmatch(path.removeprefix(GRADIO))):
            return await _close(_marked(send))
        if scope.get("method") == "POST" and (b"sec-fetch-site", b"cross-site") in scope["headers"]:
            return await limits.refuse(_marked(send), 403, "other sites cannot ask in a visitor's name")
        if path != UPLOAD:
            return await bounded(scope, receive, _marked(send))
        n_uploading += 1
        try:
            await bounded(scope, receive, _marked(send))
        finally:
            n_uploading -= 1
            if not n_uploading:
                for part in uploads.glob("tmp*"):
                    part.unlink(missing_ok=True)

    return guarded


def _is_asked_as(name: str, scope: Scope) -> bool:
    """Whether a request is for a name, for localhost, or for an address that leads nowhere else."""
    host = dict(scope.get("headers", ())).get(b"host", b"localhost").decode("latin-1")
    asked = re.sub(r":\d*$", "", host).strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(asked).is_loopback
    except ValueError:
        return asked in ("localhost", name.lower())


def _marked(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *HEADERS]
        await send(message)

    return marked


async def _close(send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def _fetch_nothing() -> None:
    """Takes from gradio the way by which it would fetch an address that a visitor names as a file."""
    from gradio import processing_utils

    async def refuse(url: str) -> Any:
        raise BenchError("files are not fetched from other places; upload it")

    processing_utils.async_ssrf_protected_get = refuse
