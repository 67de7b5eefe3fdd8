"""A service for the demonstration: its own process, a free loopback port, a gallery that is thrown away."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

_START_S = 300.0
_STOP_S = 20.0


class NotStarted(RuntimeError):
    """The service did not come up; the text says why, in its own words."""


@contextmanager
def running_service() -> Iterator[str]:
    """The service's address, once it is ready. `DGRL_` settings hold, but for the gallery and the keys."""
    with TemporaryDirectory(prefix="dgrl-demo-") as folder:
        port = _free_port()
        log = Path(folder) / "service.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "service.cli", "serve"]
            process = subprocess.Popen(
                command,
                env=_environment(Path(folder), port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process, log)
            yield url
        finally:
            _stop(process)


def _environment(folder: Path, port: int) -> dict[str, str]:
    ours = {
        "DGRL_HOST": "127.0.0.1",
        "DGRL_PORT": str(port),
        "DGRL_DATA_DIR": str(folder),
        "DGRL_AUTH": "open",
        "DGRL_LOG_FORMAT": "text",
    }
    elsewhere = ("DGRL_GALLERY", "DGRL_KEYS_FILE")
    return {name: value for name, value in os.environ.items() if name not in elsewhere} | ours


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotStarted(f"the service stopped with status {process.returncode}: {_last_line(log)}")
        try:
            if httpx.get(f"{url}/readyz", timeout=10, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    raise NotStarted(f"the service was not ready after {_START_S:.0f} s: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
