"""What may be sent to the server: how much, under which name, and what an upload has to be before it is decoded."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from starlette.requests import ClientDisconnect

from crnn_bench import audio
from crnn_bench.app.workers import RETRY_SECONDS
from crnn_bench.audio import UnusableAudioError

LARGEST_BYTES = 200_000_000  # of an upload
ENVELOPE_BYTES = 100_000  # that a request may have around it: names, boundaries, other fields
IDLE_SECONDS = 60.0  # that a body may not grow
SLOWEST_BYTES = 10_000  # a second, of a body as a whole after that; slower ones would hold their places for hours
LONGEST_SECONDS = 2 * 3600.0  # room for symphonies and sets of DJs; decoding and hearing it takes minutes, not hours
MOST_CHANNELS = 32  # a block of 30 s of more would fill the memory
MOST_SAMPLES = 10**9  # of all channels; two hours of stereo have 0.7, and a small file can hold as much silence
RATES_HZ = (2000, 400_000)  # beyond, nobody records music
LONGEST_NAME = 200  # bytes; file systems take 255

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        seconds: how long it is.
        remark: what a listener should know of it, if anything.
    """

    seconds: float
    remark: str | None


class NotAudioError(UnusableAudioError):
    """A file of another kind."""


def bounded(app: Asgi, largest_bytes: int = LARGEST_BYTES + ENVELOPE_BYTES) -> Asgi:
    """An app that refuses bodies above a size: by their announced length before a byte is read, else when it passes.

    A body that stops growing for a minute, or would take hours, counts as given up.
    """

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > largest_bytes:
            return await refuse(send, 413, too_large())
        if announced == b"0" and b"transfer-encoding" not in headers:
            return await app(scope, receive, send)
        with contextlib.suppress(ClientDisconnect):  # nobody is left to be told
            await app(scope, *_counted(receive, send, largest_bytes))

    return limited


def _counted(receive: Receive, send: Send, left: int) -> tuple[Receive, Send]:
    """The two ends of a request whose body is counted while it comes."""
    is_complete = is_answered = is_refused = False
    since, most = time.monotonic(), left

    async def counted() -> Message:
        nonlocal left, is_complete, is_refused
        if is_complete:
            return await receive()
        try:
            allowed = since + IDLE_SECONDS + (most - left) / SLOWEST_BYTES - time.monotonic()
            message = await asyncio.wait_for(receive(), min(IDLE_SECONDS, allowed))
        except TimeoutError:
            return {"type": "http.disconnect"}
        left -= len(message.get("body", b""))
        is_complete = not message.get("more_body", False)
        if left >= 0:
            return message
        is_complete = is_refused = True
        if not is_answered:
            await refuse(send, 413, too_large())
        return {"type": "http.disconnect"}

    async def answer(message: Message) -> None:
        nonlocal is_answered
        is_answered = True
        if message["type"] == "http.response.start" and not is_complete:  # else what is still to come would be read
            message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
        if not is_refused:
            await send(message)

    return counted, answer


async def refuse(send: Send, status: int, words: str) -> None:
    """Says why, and closes the connection: what is still on its way is not read."""
    body = json.dumps({"detail": words}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *([(b"retry-after", str(RETRY_SECONDS).encode())] if status == 503 else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def too_large() -> str:
    """The words for an upload that is."""
    return f"the upload is larger than {LARGEST_BYTES // 10**6} MB; send a shorter or a compressed file"


def harmless(name: str | None) -> str:
    """The last part of a file's name as its sender gives it, without what could lead anywhere or break a line.

    Raises:
        NotAudioError: its ending is not that of an audio file.
    """
    base = PurePosixPath((name or "").replace("\\", "/")).name
    base = re.sub(r"[^\w .,'()&+\-]", "_", base).strip(" .")
    base = base.encode()[-LONGEST_NAME:].decode(errors="ignore")  # what is left of a letter that was cut goes
    if not base.lower().endswith(audio.EXTENSIONS):
        endings = ", ".join(ending.lstrip(".") for ending in audio.EXTENSIONS)
        raise NotAudioError(f"{base or 'a file without a name'}: no audio file by its name; send {endings}")
    return base


def looked_at(path: Path) -> Header:
    """Reads an audio file's header, before anything is decoded.

    Raises:
        NotAudioError: there is no audio in it.
        UnusableAudioError: it is empty, cut off, too long, or of unheard-of rate or channels.
        OSError: it cannot be opened.
    """
    import soundfile

    if path.stat().st_size == 0:
        raise UnusableAudioError("the file is empty")
    try:
        header = soundfile.info(path, verbose=True)
    except (soundfile.LibsndfileError, UnicodeEncodeError):
        raise NotAudioError("there is no audio in it, whatever its name says") from None
    lowest, highest = RATES_HZ
    if not lowest <= header.samplerate <= highest:
        raise UnusableAudioError(f"it has {header.samplerate} samples a second; {lowest} to {highest} can be heard")
    if header.channels > MOST_CHANNELS:
        raise UnusableAudioError(f"it has {header.channels} channels; at most {MOST_CHANNELS} can be heard")
    seconds, samples = header.frames / header.samplerate, header.frames * header.channels
    if seconds > LONGEST_SECONDS:
        raise UnusableAudioError(f"it is {seconds / 60:.0f} minutes long; at most {LONGEST_SECONDS / 60:.0f} are heard")
    if samples > MOST_SAMPLES:
        raise UnusableAudioError(
            f"it holds {samples // 10**6} million samples; at most {MOST_SAMPLES // 10**6} are heard"
        )
    clamped = audio.CLAMPED.search(header.extra_info)
    return Header(seconds, _remark(int(clamped[1]), int(clamped[2])) if clamped else None)


def _remark(promised: int, there: int) -> str:
    """On a header that promises more than there is; one written before the length was known says 2 GB or more."""
    told = f"its header promises {promised / 1e6:,.1f} MB of sound, but {there / 1e6:,.1f} MB are there"
    if promised < audio.STREAMED_BYTES and there < audio.LEAST_SHARE * promised:
        raise UnusableAudioError(f"it is cut off: {told}; send the whole file")
    return f"{told[0].upper()}{told[1:]}; those were heard."
