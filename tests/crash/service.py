"""`dgrl serve` as a fork of a process that has its imports done (see tests.support.zygote)."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from service.server import serve as serve_settings
from service.settings import load_settings
from tests.support.process import LOG_NAME, PLAIN, ServerProcess
from tests.support.zygote import Zygote

TARGET = f"{__name__}:serve"


def serve(log: str, settings: Mapping[str, str]) -> None:
    """In the fork."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ.update(settings)
    serve_settings(load_settings())


@contextmanager
def forked(zygote: Zygote, bundle: Path, data_dir: Path, *, wait: bool = True) -> Iterator[ServerProcess]:
    log, places = data_dir / LOG_NAME, {"DGRL_BUNDLE": str(bundle), "DGRL_DATA_DIR": str(data_dir)}
    settings = {**PLAIN, **places, "DGRL_PORT": "0", "DGRL_LOG_FORMAT": "json"}
    log.unlink(missing_ok=True)
    log.touch()
    process = ServerProcess(zygote.fork(log=str(log), settings=settings), log)
    try:
        if wait:
            process.wait_ready()
        yield process
    finally:
        process.kill()
