"""kill -9 in the middle of concurrent changes: what was acknowledged holds, and what was deleted stays away."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from index import Gallery, open_gallery
from tests.crash.gallery_worker import BUNDLE, DIMENSION, THREADS, State, after, vector


def run_and_kill(path: Path, seed: int, seconds: float) -> list[tuple[int, str, list[str]]]:
    """What a worker said before it was killed `seconds` after its first change."""
    command = [sys.executable, "-m", "tests.crash.gallery_worker", str(path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        first = worker.stdout.readline()
        time.sleep(seconds)
        worker.send_signal(signal.SIGKILL)
        rest = worker.stdout.read()
    assert worker.returncode == -signal.SIGKILL, "the worker ended by itself"
    return [tuple(json.loads(line)) for line in (first + rest).splitlines()]


def held(gallery: Gallery, thread: int) -> State:
    people = gallery.identities(prefix=f"t{thread} ", limit=1000).items
    return {
        person.identity: [image.content_hash for image in gallery.images(person.identity, limit=10_000).items]
        for person in people
    }


def same(one: State, other: State) -> bool:
    return {name: sorted(own) for name, own in one.items()} == {
        name: sorted(own) for name, own in other.items()
    }


def verify(gallery: Gallery, states: list[State], said: list[tuple[int, str, list[str]]]) -> list[State]:
    """The states that the threads' people are in now, each of which the acknowledgements allow."""
    gallery.check()
    found = []
    for thread, state in enumerate(states):
        begun: list[str] | None = None
        for _, word, change in (line for line in said if line[0] == thread):
            begun = change if word == "begin" else None
            state = state if word == "begin" else after(state, change)
        now = held(gallery, thread)
        allowed = [state] if begun is None else [state, after(state, begun)]
        assert any(same(now, one) for one in allowed), (now, allowed, begun)
        found.append(now)
        for name, hashes in now.items():
            matches = gallery.search(np.array([vector(content) for content in hashes]), 1, supports=1)
            assert all(match[0].identity == name and match[0].score > 0.999 for match in matches)
    return found


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.long)])
def test_kill_during_changes(tmp_path: Path, rounds: int) -> None:
    path, moments = tmp_path / "gallery.db", random.Random(0)
    states: list[State] = [{} for _ in range(THREADS)]
    acknowledged = 0
    for seed in range(rounds):
        said = run_and_kill(path, seed, moments.uniform(0.0, 0.4))
        acknowledged += sum(word == "done" for _, word, _ in said)
        gallery = open_gallery(f"sqlite:///{path}", bundle_id=BUNDLE, dimension=DIMENSION)
        states = verify(gallery, states, said)
        gallery.close()
    assert acknowledged > rounds


def test_the_verification_notices(tmp_path: Path) -> None:
    """A lost image, one that came back, and one with another's vector are all found out."""
    from index import Enrolment

    gallery = open_gallery(f"sqlite:///{tmp_path / 'g.db'}", bundle_id=BUNDLE, dimension=DIMENSION)
    gallery.add([Enrolment("t0 p0", vector("a"), "a")])
    empty: list[State] = [{} for _ in range(THREADS)]
    done = [(0, "begin", ["add", "t0 p0", "a"]), (0, "done", ["add", "t0 p0", "a"])]
    verify(gallery, empty, done)
    lost = [*done, (0, "begin", ["add", "t0 p1", "b"]), (0, "done", ["add", "t0 p1", "b"])]
    returned = [*done, (0, "begin", ["remove", "t0 p0"]), (0, "done", ["remove", "t0 p0"])]
    for said in (lost, returned):
        with pytest.raises(AssertionError):
            verify(gallery, empty, said)
    gallery.add([Enrolment("t0 p1", vector("a"), "b")])
    with pytest.raises(AssertionError):
        verify(gallery, empty, lost)
    gallery.close()
