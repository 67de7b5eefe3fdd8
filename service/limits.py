"""Counts a request's body before anything parses it, with and without Content-Length; answers 413, 400 or 429.

The count stands outside the application: whatever an inner layer makes of a body that stops short, the answer
is this one. A client that is still sending gets the answer first and then a moment in which its bytes are
thrown away, because a connection closed on unread bytes may destroy the answer on its way. The same goes for a
body of unknown length that the application answers without reading it to its end. All bodies together are
counted too, until their requests are answered: that many bytes may lie in memory, and no more.
"""

import asyncio
import contextlib
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Kind, Problem

_LINGER_S = 5.0


@dataclass(frozen=True, slots=True)
class BodyLimits:
    max_bytes: int
    max_bytes_together: int
    timeout_s: float


class BodyLimit:
    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self.limits = limits
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        counted = _Counted(self, receive, send, endless="transfer-encoding" in headers)
        if _announced(headers) > self.limits.max_bytes:
            counted.refusal = _too_large(self.limits)
        else:
            try:
                with contextlib.suppress(_Refused):
                    await self._app(scope, counted.receive, counted.send)
            finally:
                self.held -= counted.bytes
        if counted.refusal and not counted.started:
            await _refuse(counted.refusal, scope, receive, send)


class _Refused(Exception):
    """Ends the reading of the body; never leaves this file."""


class _Counted:
    def __init__(self, gate: BodyLimit, receive: Receive, send: Send, endless: bool) -> None:
        self._gate = gate
        self._limits = gate.limits
        self._receive = receive
        self._send = send
        self._endless = endless
        self._lingers = False
        self.bytes = 0
        self._complete = False
        self._deadline = asyncio.get_running_loop().time() + gate.limits.timeout_s
        self.refusal: Problem | None = None
        self.started = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            text = f"the request body did not arrive within {self._limits.timeout_s:g} s"
            self._refuse(Problem(Kind.INVALID_REQUEST, text))
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self.refusal and not self.started:
            raise _Refused  # what the application made of the broken-off body
        if message["type"] == "http.response.start":
            self.started = True
            self._lingers = self._endless and not self._complete
            if self._lingers:
                MutableHeaders(scope=message)["Connection"] = "close"
        if self._lingers and not message.get("more_body", False) and message["type"] == "http.response.body":
            await _send_and_drain(message["body"], self._receive, self._send)
        else:
            await self._send(message)

    def _count(self, size: int) -> None:
        self.bytes += size
        self._gate.held += size
        if self.bytes > self._limits.max_bytes:
            self._refuse(_too_large(self._limits))
        if self._gate.held > self._limits.max_bytes_together:
            text = "too many request bodies are under way"
            self._refuse(Problem(Kind.QUEUE_FULL, text, headers={"Retry-After": "1"}))

    def _refuse(self, refusal: Problem) -> None:
        self.refusal = refusal
        raise _Refused


def _announced(headers: Headers) -> int:
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else 0


def _too_large(limits: BodyLimits) -> Problem:
    text = f"the request body has more than {limits.max_bytes:,} bytes"
    return Problem(Kind.BODY_TOO_LARGE, text, max_bytes=limits.max_bytes)


async def _refuse(refusal: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    refusal.headers["Connection"] = "close"
    response = refusal.response()
    await send(
        {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    )
    awaited = refusal.kind is not Kind.INVALID_REQUEST and "expect" not in Headers(scope=scope)
    if not awaited:  # nothing is on its way
        await send({"type": "http.response.body", "body": response.body})
    else:
        await _send_and_drain(bytes(response.body), receive, send)


async def _send_and_drain(body: bytes, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
