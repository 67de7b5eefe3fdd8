"""The real application behind a real uvicorn on a loopback socket, in a thread of the test process."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.services import Services
from service.settings import Settings


@dataclass(frozen=True)
class Live:
    url: str
    app: FastAPI

    @property
    def services(self) -> Services:
        found: Services = self.app.state.services
        return found

    def client(self, key: str | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-API-Key": key} if key else {}, timeout=60)


def tiny_settings(bundle: Path, data_dir: Path, **changes: Any) -> Settings:
    """The plain CPU provider: its sessions open at once, and float32 is the same everywhere."""
    return Settings(**{"bundle": bundle, "data_dir": data_dir, "provider": "cpu", "threads": 1, **changes})


@contextmanager
def serving(settings: Settings, app: FastAPI | None = None) -> Iterator[Live]:
    app = app or create_app(settings)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))  # with IPPROTO_TCP named, asyncio sets TCP_NODELAY
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, proxy_headers=False)
        )
        ready, failure = threading.Event(), []

        async def run() -> None:
            try:
                async with app.router.lifespan_context(app):
                    ready.set()
                    await server.serve(sockets=[listener])
            except BaseException as error:
                failure.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        ready.wait()
        while not server.started and not failure:
            time.sleep(0.005)
        if failure:
            raise failure[0]
        try:
            yield Live(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
        finally:
            server.should_exit = True
            thread.join(30)
        if failure:
            raise failure[0]
