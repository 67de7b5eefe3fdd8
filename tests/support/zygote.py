"""A process that has imported what is needed and forks a copy of itself for each run: a start without its imports.

They are nine tenths of a start of the service with the tiny bundle (1.2 of 1.35 s). What runs in the copy is the
real thing, with its own process, sockets and files, and `kill -9` ends it like any other.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any

from tests.support.process import environment


class Fork:
    """One run; like subprocess.Popen as far as it goes."""

    def __init__(self, pid: int, answers: IO[bytes]) -> None:
        self.pid = pid
        self._answers = answers
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and select.select([self._answers], [], [], 0)[0]:
            self.wait()
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise TimeoutError(f"process {self.pid} still runs after {timeout} s")
            self._code = int(self._answers.readline())
        return self._code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """As `kill -9` does: nothing more runs in it."""
        self.send_signal(signal.SIGKILL)
        self.wait()


class Zygote:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._orders, self._answers = process.stdin, process.stdout

    def fork(self, **arguments: Any) -> Fork:
        """One at a time: the run before must have ended."""
        self._orders.write(json.dumps(arguments).encode() + b"\n")
        return Fork(int(self._answers.readline()), self._answers)


@contextmanager
def zygote(target: str) -> Iterator[Zygote]:
    """Each fork calls `target`, given as "package.module:function", with the keywords of its order."""
    command = [sys.executable, "-m", "tests.support.zygote", target]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen(command, env=environment(), **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Zygote(process)
        finally:
            process.kill()


def _main(target: str) -> None:
    module, _, function = target.partition(":")
    run = getattr(import_module(module), function)
    _die_with_parent()
    for order in sys.stdin:
        if (pid := os.fork()) == 0:
            _die_with_parent()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            run(**json.loads(order))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    _main(sys.argv[1])
