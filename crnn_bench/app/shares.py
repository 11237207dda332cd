"""What one visitor may take of what all share: places in the line, and room for uploads."""

from collections import Counter
from pathlib import Path

from crnn_bench.app import limits
from crnn_bench.app.limits import Asgi, Receive, Scope, Send

API = "/api/"
MOST_OF_ONE = 20  # requests of one address that the API hears or keeps waiting at a time; the page has room beside them
MOST_BYTES = 10 * limits.LARGEST_BYTES  # of all uploads that are under way or kept


def shared(app: Asgi, uploads: Path, most_bytes: int = MOST_BYTES) -> Asgi:
    """An app that refuses for a while what would leave nothing to others.

    Args:
        app: of which no body is longer than `limits.bounded` lets pass.
        uploads: where the page keeps some.
        most_bytes: of uploads.
    """
    under_way: Counter[str] = Counter()
    coming_bytes = 0

    async def fair(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal coming_bytes
        if scope["type"] != "http" or scope["method"] != "POST":
            return await app(scope, receive, send)
        who = scope["client"][0] if scope["path"].startswith(API) and scope.get("client") else ""
        n_bytes = _promised(scope)
        if who and under_way[who] >= MOST_OF_ONE:
            return await limits.refuse(send, 503, f"{MOST_OF_ONE} of your requests are under way; wait for some")
        if n_bytes > limits.ENVELOPE_BYTES and coming_bytes + n_bytes + _kept(uploads) > most_bytes:
            return await limits.refuse(send, 503, "there is no room for uploads now; try again in some minutes")
        under_way[who] += 1
        coming_bytes += n_bytes
        try:
            await app(scope, receive, send)
        finally:
            coming_bytes -= n_bytes
            under_way[who] -= 1
            if not under_way[who]:
                del under_way[who]

    return fair


def _promised(scope: Scope) -> int:
    """Bytes of a request's body, the most that pass where they are not told."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return limits.LARGEST_BYTES
    return int(headers.get(b"content-length", b"0"))


def _kept(folder: Path) -> int:
    """Bytes of the files in a folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # gone in the meantime
            continue
    return total
