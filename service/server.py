"""Runs the application on a socket until a signal asks it to stop. A start that fails is one sentence."""

import asyncio
import errno
import gc
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service import logs
from service.app import create_app
from service.request_head import bounded_heads
from service.settings import Settings
from service.startup import StartupError

log = logging.getLogger("dgrl.service")

_GRACE_S = 15
_KEEP_ALIVE_S = 30


def serve(settings: Settings) -> None:
    """Raises StartupError; returns after SIGINT or SIGTERM, once running requests are answered."""
    logs.configure(settings.log_level, settings.log_format)
    with _bind(settings.host, settings.port) as listener:
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            http=bounded_heads(settings.body_timeout_s),
            lifespan="off",  # run here, so that a failed start is an exception and not a log line
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
        )
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_run(app, _Server(config), listener))


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            log.info("listening on %s", _address(listener))


async def _run(app: FastAPI, server: uvicorn.Server, listener: socket.socket) -> None:
    async with app.router.lifespan_context(app):
        gc.collect()
        gc.freeze()  # what exists by now stays: later collections need not look at it
        with _stopping(server):
            await server.serve(sockets=[listener])


def _bind(host: str, port: int) -> socket.socket:
    """Bound but not yet listening: nobody can connect before the service is ready."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except socket.gaierror as error:
        raise StartupError(f"{host!r} is no address of this machine: {error.strerror}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartupError(f"port {port} on {host} is in use by another program") from error
        raise StartupError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _stopping(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn raises the signal that stopped it again at its end; the gallery must still be closed then."""

    def stop(_: int, __: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
