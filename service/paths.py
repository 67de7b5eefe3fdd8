"""Identities may hold slashes, and servers decode `%2F`: under /gallery/ the path stays encoded."""

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/gallery/"


class KeepSlashes:
    """Routing then sees one segment for each segment of the address; the routes decode what they take out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            raw: bytes = scope["raw_path"]
            scope["path"] = raw.partition(b"?")[0].decode("ascii")
        await self._app(scope, receive, send)
