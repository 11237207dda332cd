"""Connections that do not wait for ever: a client that opens one and says nothing is shown out."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0  # for the head of a request; uvicorn waits without end, and its connections are counted


class Impatient(H11Protocol):
    """uvicorn's HTTP, with an end to how long the head of a request may take."""

    _until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Ends the waiting with the head's end; what is a beginning of the next one is waited for as well."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._end()
        elif self._until is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the waiting."""
        self._end()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._until = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _end(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
