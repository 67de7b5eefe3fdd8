"""The outermost layer of a request: its id, one log line, its metrics, and an answer when all else fails."""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import context
from service.metrics import Metrics
from service.problems import Unexpected

log = logging.getLogger("dgrl.access")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",  # no other site shows, or measures, a picture of the gallery
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",  # forms are sent by script, or not at all
}


class Requests:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        identity = context.begin(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["started"] = started
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identity
                headers.setdefault("Cache-Control", "no-store")
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("unexpected failure")
            if status:
                raise  # the answer is under way: only a broken connection can tell the client
            await Unexpected().response()(scope, receive, send_with_headers)
        finally:
            _record(scope, status, time.perf_counter() - started)


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    services = getattr(scope["app"].state, "services", None) if "app" in scope else None
    if services is not None:
        metrics: Metrics = services.metrics
        method = scope["method"] if scope["method"] in _METHODS else "other"
        metrics.requests.labels(method, route, str(status)).inc()
        metrics.request_seconds.labels(route).observe(seconds)
    log.log(
        logging.DEBUG if scope["path"] in _QUIET else logging.INFO,
        "%s %s %s",
        scope["method"],
        route,
        status,
        extra={"ms": round(seconds * 1000, 1), "key": scope["state"].get("key_id")},
    )
