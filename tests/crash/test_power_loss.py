"""What was acknowledged survives a power loss: the system calls show that it was synced before the answer."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.service import forked
from tests.crash.traffic import connected
from tests.support.pictures import encoded, person
from tests.support.zygote import Zygote

WATCHED = "fsync,fdatasync,pwrite64,ftruncate,write,writev,sendto,sendmsg"
CALL = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\(\d+<([^>]*)>)")
ANSWER = re.compile(r"HTTP/1\.1 (20[014]) ")


@contextmanager
def traced(pid: int, output: Path) -> Iterator[None]:
    """Its calls are written to `output`, in order."""
    command = ["strace", "-f", "-y", "-s", "32", "-e", f"trace={WATCHED}", "-o", str(output), "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        if "attached" not in (line := strace.stderr.readline()):
            pytest.skip(f"strace cannot watch a process here: {line.strip()}")
        try:
            yield
        finally:
            strace.terminate()


def replay(calls: list[str]) -> tuple[list[str], list[str]]:
    """The answers that were sent, and what was not safe when it had to be.

    At an answer the log must be synced; when the log is emptied, the file must be, which has taken its content over.
    """
    answers, unsafe, unsynced, syncing = [], [], set[str](), dict[str, str]()
    for line in calls:
        if not (call := CALL.match(line)):
            continue
        thread, name, path = call.groups()
        file = Path(path or syncing.get(thread, "")).name
        if name == "pwrite64" and path:
            unsynced.add(file)
        elif name in ("fsync", "fdatasync"):
            syncing[thread] = file
            if line.rstrip().endswith("= 0"):
                unsynced.discard(file)
        elif name == "ftruncate" and file == "gallery.db-wal" and "gallery.db" in unsynced:
            unsafe.append(f"the log was emptied: {line}")
        elif found := ANSWER.search(line):
            answers.append(found[1])
            if "gallery.db-wal" in unsynced:
                unsafe.append(f"an answer was sent: {line}")
    return answers, unsafe


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_answers_are_sent_after_the_sync(servers: Zygote, tiny_bundle: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with (
        forked(servers, tiny_bundle, tmp_path) as process,
        traced(process.pid, trace),
        connected(process.url) as client,
    ):
        for number, identity in enumerate(("anna", "anna", "bert")):
            files = {"images": encoded(person(number))}
            client.post("/gallery", files=files, data={"identity": identity}).raise_for_status()
        client.delete("/gallery/anna/images/1").raise_for_status()
        client.patch("/gallery/bert", json={"identity": "carl"}).raise_for_status()
        client.delete("/gallery/carl").raise_for_status()
    calls = trace.read_text().splitlines()
    assert replay(calls) == (["201", "201", "201", "204", "200", "204"], [])
    syncless = [line for line in calls if not re.search(r"f(data)?sync", line)]
    answers, unsafe = replay(syncless)  # the same service, had it not synced
    assert len(answers) == 6
    assert len([one for one in unsafe if "an answer was sent" in one]) == 6
    assert [one for one in unsafe if "the log was emptied" in one]
