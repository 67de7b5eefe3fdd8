"""`dgrl serve` in a process of its own, to be stopped or killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import httpx

LOG_NAME = "service.log"
_START_S = 120
PLAIN = {"DGRL_PROVIDER": "cpu", "DGRL_THREADS": "1"}  # opens at once, and float32 is the same everywhere


def environment() -> dict[str, str]:
    """This process's, without any setting of the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DGRL_")}


class Process(Protocol):
    pid: int

    def poll(self) -> int | None: ...
    def send_signal(self, sig: int) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class ServerProcess:
    """`log` is what the process writes."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process, self._log = process, log
        self.url, self.pid = "", process.pid

    def wait_ready(self) -> None:
        """Reads the address from the log, then waits until it answers."""
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._process.poll() is None:
            if "listening on " in (log := self.log()):
                self.url = log.split("listening on ")[1].split('"')[0]
                httpx.get(f"{self.url}/livez", verify=False).raise_for_status()
                return
            time.sleep(0.02)
        raise RuntimeError(f"the service did not start: {self.log()}")

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As `kill -9` does: nothing more runs in it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def finish(self) -> int:
        return self._process.wait(60)


@contextmanager
def started(
    bundle: Path, data_dir: Path, *, wait: bool = True, settings: Mapping[str, str] = PLAIN
) -> Iterator[ServerProcess]:
    arguments = ["--port", "0", "--bundle", str(bundle), "--data-dir", str(data_dir)]
    with (data_dir / LOG_NAME).open("wb") as log:
        command = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", *arguments],
            env={**environment(), **settings, "DGRL_LOG_FORMAT": "json"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    process = ServerProcess(command, data_dir / LOG_NAME)
    try:
        if wait:
            process.wait_ready()
        yield process
    finally:
        process.kill()
