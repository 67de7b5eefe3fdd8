"""Bounds a request's head, its first line and header fields, in time and in size; uvicorn bounds neither.

The application sees a request only when its head is complete, so this stands in the protocol, before `limits`. A
connection on which nothing was sent is closed without a word: browsers open some in advance.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BYTES = 64 * 1024  # and what the last read brings beyond
_LATE = b"408 Request Timeout"
_LARGE = b"431 Request Header Fields Too Large"


def bounded_heads(seconds: float) -> type[HttpToolsProtocol]:
    """The protocol of connections whose heads may take `seconds` to arrive."""

    class BoundedHeads(HttpToolsProtocol):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self._timer: asyncio.TimerHandle | None = None  # while a head is awaited
            self._begun = False
            self._received = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_is_in()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            awaited = self._timer
            super().data_received(data)
            if awaited is not None and awaited is self._timer:  # it is all of one head, which goes on
                self._received += len(data)
                if self._received > MAX_BYTES:
                    self._end(_LARGE)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._timer is None:  # a further request on the connection
                self._await_head()
            self._begun = True

        def on_headers_complete(self) -> None:
            self._head_is_in()
            super().on_headers_complete()

        def _await_head(self) -> None:
            self._begun, self._received = False, 0
            self._timer = self.loop.call_later(seconds, self._end, _LATE)

        def _head_is_in(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

        def _end(self, status: bytes) -> None:
            self._head_is_in()
            if self._begun:
                self.transport.write(
                    b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status
                )
            self.transport.close()

    return BoundedHeads
