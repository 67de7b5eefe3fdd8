"""`dgrl serve` in a process of its own, to be stopped or killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

_START_S = 120
_PLAIN = {"DGRL_PROVIDER": "cpu", "DGRL_THREADS": "1"}  # opens at once, and float32 is the same everywhere


def environment() -> dict[str, str]:
    """This process's, without any setting of the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DGRL_")}


class ServerProcess:
    def __init__(self, bundle: Path, data_dir: Path, settings: Mapping[str, str]) -> None:
        self._log = data_dir / "service.log"
        arguments = ["--port", "0", "--bundle", str(bundle), "--data-dir", str(data_dir)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", *arguments],
                env={**environment(), **settings, "DGRL_LOG_FORMAT": "json"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.url = ""

    def wait_ready(self) -> None:
        """Reads the address from the log, then waits until it answers."""
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._process.poll() is None:
            if "listening on " in (log := self.log()):
                self.url = log.split("listening on ")[1].split('"')[0]
                httpx.get(f"{self.url}/livez").raise_for_status()
                return
            time.sleep(0.02)
        raise RuntimeError(f"the service did not start: {self.log()}")

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        """As `kill -9` does: nothing more runs in it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def finish(self) -> int:
        return self._process.wait(60)


@contextmanager
def started(
    bundle: Path, data_dir: Path, *, wait: bool = True, settings: Mapping[str, str] = _PLAIN
) -> Iterator[ServerProcess]:
    process = ServerProcess(bundle, data_dir, settings)
    try:
        if wait:
            process.wait_ready()
        yield process
    finally:
        process.kill()
